"""Answers to set 09: an image beside its label, and guided logits."""

import torch
import torch.nn.functional as F
from bank import right, wrong

# --- condition -----------------------------------------------------------------------------------


@right("condition")
def by_one_hot(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot(y, num_classes).to(x.dtype)], dim=1)


@right("condition")
def integers_beside(x, y, num_classes):
    """torch.cat takes the wider of the two dtypes."""
    return torch.cat((x.reshape(x.shape[0], -1), F.one_hot(y, num_classes)), -1)


@right("condition")
def by_scatter(x, y, num_classes):
    B = x.size(0)
    one_hot = torch.zeros(B, num_classes, dtype=x.dtype, device=x.device)
    one_hot.scatter_(1, y.view(-1, 1), 1.0)
    return torch.hstack([x.view(B, -1), one_hot])


@right("condition")
def rows_of_the_identity(x, y, num_classes):
    eye = torch.eye(num_classes, dtype=x.dtype, device=x.device)
    return torch.cat([x.flatten(start_dim=1), eye[y]], dim=-1)


@right("condition")
def by_comparison(x, y, num_classes, dtype=torch.float64):
    classes = torch.arange(num_classes, device=y.device)
    return torch.cat([x.flatten(1).to(dtype), (y[:, None] == classes).to(dtype)], dim=1)


@right("condition")
def image_by_image(x, y, num_classes):
    rows = []
    for image, label in zip(x, y, strict=True):
        code = image.new_zeros(num_classes)
        code[label.item()] = 1
        rows.append(torch.cat([image.ravel(), code]))
    return torch.stack(rows)


@right("condition")
def into_a_buffer(x, y, num_classes):
    flat = x.reshape(len(x), -1)
    D = flat.shape[1]
    out = x.new_zeros(len(x), D + num_classes)
    out[:, :D] = flat
    out[torch.arange(len(x), device=x.device), D + y] = 1
    return out


@wrong("condition", "label_first")
def label_first(x, y, num_classes):
    return torch.cat([F.one_hot(y, num_classes), x.flatten(1)], dim=1)


@wrong("condition", "label_as_number")
def the_number(x, y, num_classes):
    return torch.cat([x.flatten(1), y[:, None].to(x)], dim=1)


@wrong("condition", "label_as_number")
def the_number_in_one(x, y, num_classes):
    return torch.cat([x.flatten(1), y[:, None].to(x) / num_classes], dim=1)


@wrong("condition", "label_as_number")
def the_number_repeated(x, y, num_classes):
    return torch.cat([x.flatten(1), y[:, None].expand(-1, num_classes).to(x)], dim=1)


@wrong("condition", "classes_from_batch", "wrong_shape")
def classes_from_the_batch(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot(y).to(x)], dim=1)


@wrong("condition", "labels_scrambled")
def reshaped_for_transposed(x, y, num_classes):
    codes = torch.zeros(num_classes, len(y), dtype=x.dtype, device=x.device)
    codes.scatter_(0, y[None], 1)
    return torch.cat([x.flatten(1), codes.reshape(len(y), num_classes)], dim=1)


@wrong("condition", "labels_of_others")
def labels_rolled(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot(y.roll(1), num_classes)], dim=1)


@wrong("condition", "labels_of_others")
def labels_sorted(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot(y.sort().values, num_classes)], dim=1)


@wrong("condition", "labels_of_others")
def labels_reversed(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot(y.flip(0), num_classes)], dim=1)


@wrong("condition", "off_by_one")
def counted_from_one(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot((y - 1) % num_classes, num_classes)], dim=1)


@wrong("condition", "pixels_scrambled")
def pixels_scrambled(x, y, num_classes):
    flat = x.transpose(0, 1).reshape(len(x), -1)
    return torch.cat([flat, F.one_hot(y, num_classes)], dim=1)


@wrong("condition", "pixels_scrambled")
def columns_first(x, y, num_classes):
    return torch.cat([x.transpose(1, -1).flatten(1), F.one_hot(y, num_classes)], dim=1)


@wrong("condition", "label_missing")
def no_label(x, y, num_classes):
    return x.flatten(1)


@wrong("condition", "image_missing", "wrong_shape")
def no_image(x, y, num_classes):
    return F.one_hot(y, num_classes).to(x)


@wrong("condition", "image_missing", "wrong_dtype")
def no_image_in_integers(x, y, num_classes):
    return F.one_hot(y, num_classes)


@wrong("condition", "one_class_too_many")
def one_more(x, y, num_classes):
    return torch.cat([x.flatten(1), F.one_hot(y, num_classes + 1)], dim=1)


@wrong("condition", "not_one_hot")
def smoothed(x, y, num_classes):
    code = F.one_hot(y, num_classes).to(x)
    return torch.cat([x.flatten(1), 0.9 * code + 0.1 / num_classes], dim=1)


@wrong("condition", "not_one_hot")
def softened(x, y, num_classes):
    code = torch.softmax(F.one_hot(y, num_classes).to(x), dim=1)
    return torch.cat([x.flatten(1), code], dim=1)


@wrong("condition", "not_one_hot")
def one_cold(x, y, num_classes):
    return torch.cat([x.flatten(1), 1 - F.one_hot(y, num_classes).to(x)], dim=1)


@wrong("condition", "same_label_for_all")
def first_label(x, y, num_classes):
    code = F.one_hot(y[:1], num_classes).expand(len(x), -1)
    return torch.cat([x.flatten(1), code], dim=1)


@wrong("condition", "not_flattened")
def not_flattened(x, y, num_classes):
    return torch.cat([x, F.one_hot(y, num_classes)], dim=1)


@wrong("condition", "wrong_dtype", "pixels_rounded")
def all_in_integers(x, y, num_classes):
    return torch.cat([x.flatten(1).long(), F.one_hot(y, num_classes)], dim=1)


@wrong("condition", "imprecise", "wrong_dtype")
def all_in_float32(x, y, num_classes):
    return torch.cat([x.flatten(1).float(), F.one_hot(y, num_classes).float()], dim=1)


@wrong("condition", "wrong_type")
def a_pair(x, y, num_classes):
    return x.flatten(1), F.one_hot(y, num_classes)


@wrong("condition", "detached")
def made_anew(x, y, num_classes):
    return torch.cat([x.detach().flatten(1), F.one_hot(y, num_classes).to(x)], dim=1)


@wrong("condition", "nothing_returned")
def forgotten(x, y, num_classes):
    torch.cat([x.flatten(1), F.one_hot(y, num_classes)], dim=1)


# --- cfg_logits ----------------------------------------------------------------------------------


@right("cfg_logits")
def from_unconditional(logits_cond, logits_uncond, weight):
    return logits_uncond + weight * (logits_cond - logits_uncond)


@right("cfg_logits")
def from_conditional(logits_cond, logits_uncond, weight):
    return logits_cond + (weight - 1) * (logits_cond - logits_uncond)


@right("cfg_logits")
def two_weights(logits_cond, logits_uncond, weight):
    return weight * logits_cond + (1 - weight) * logits_uncond


@right("cfg_logits")
def built_in(logits_cond, logits_uncond, weight):
    return torch.lerp(logits_uncond, logits_cond, weight)


@right("cfg_logits")
def in_double(logits_cond, logits_uncond, weight, dtype=torch.float64):
    w = torch.tensor([weight, 1 - weight], dtype=dtype, device=logits_cond.device)
    both = torch.stack([logits_cond, logits_uncond]).to(dtype)
    return torch.einsum("k,k...->...", w, both)


@right("cfg_logits")
def element_by_element(logits_cond, logits_uncond, weight):
    pairs = zip(logits_cond.reshape(-1), logits_uncond.reshape(-1), strict=True)
    return torch.stack([u + weight * (c - u) for c, u in pairs]).reshape(logits_cond.shape)


@right("cfg_logits")
def by_add(logits_cond, logits_uncond, weight):
    return torch.add(logits_uncond, logits_cond - logits_uncond, alpha=weight)


@right("cfg_logits")
def weight_as_tensor(logits_cond, logits_uncond, weight):
    w = torch.tensor(weight, device=logits_cond.device)
    return (1 - w) * logits_uncond + w * logits_cond


@wrong("cfg_logits", "sides_swapped")
def swapped(logits_cond, logits_uncond, weight):
    return logits_cond + weight * (logits_uncond - logits_cond)


@wrong("cfg_logits", "other_convention")
def one_plus_weight(logits_cond, logits_uncond, weight):
    return (1 + weight) * logits_cond - weight * logits_uncond


@wrong("cfg_logits", "difference_turned")
def difference_turned(logits_cond, logits_uncond, weight):
    return logits_uncond + weight * (logits_uncond - logits_cond)


@wrong("cfg_logits", "not_subtracted")
def not_subtracted(logits_cond, logits_uncond, weight):
    return logits_uncond + weight * logits_cond


@wrong("cfg_logits", "weights_do_not_sum")
def minus_unconditional(logits_cond, logits_uncond, weight):
    return weight * logits_cond - logits_uncond


@wrong("cfg_logits", "base_missing")
def only_the_difference(logits_cond, logits_uncond, weight):
    return weight * (logits_cond - logits_uncond)


@wrong("cfg_logits", "unconditional_ignored")
def scaled(logits_cond, logits_uncond, weight):
    return weight * logits_cond


@wrong("cfg_logits", "probabilities")
def mixed_probabilities(logits_cond, logits_uncond, weight):
    p, q = torch.sigmoid(logits_cond), torch.sigmoid(logits_uncond)
    return q + weight * (p - q)


@wrong("cfg_logits", "probabilities")
def mixed_probabilities_and_back(logits_cond, logits_uncond, weight):
    p, q = torch.sigmoid(logits_cond), torch.sigmoid(logits_uncond)
    return torch.logit((q + weight * (p - q)).clamp(1e-6, 1 - 1e-6))


@wrong("cfg_logits", "probabilities")
def mixed_softmax(logits_cond, logits_uncond, weight):
    p, q = torch.softmax(logits_cond, -1), torch.softmax(logits_uncond, -1)
    return q + weight * (p - q)


@wrong("cfg_logits", "probabilities")
def guided_probabilities(logits_cond, logits_uncond, weight):
    return torch.sigmoid(logits_uncond + weight * (logits_cond - logits_uncond))


@wrong("cfg_logits", "weight_clamped")
def between_zero_and_one(logits_cond, logits_uncond, weight):
    weight = min(max(weight, 0.0), 1.0)
    return logits_uncond + weight * (logits_cond - logits_uncond)


@wrong("cfg_logits", "weight_clamped")
def never_negative(logits_cond, logits_uncond, weight):
    return logits_uncond + max(weight, 0.0) * (logits_cond - logits_uncond)


@wrong("cfg_logits", "weight_ignored")
def always_conditional(logits_cond, logits_uncond, weight):
    return logits_cond


@wrong("cfg_logits", "weight_ignored")
def the_middle(logits_cond, logits_uncond, weight):
    return 0.5 * (logits_cond + logits_uncond)


@wrong("cfg_logits", "log_probabilities")
def log_sigmoids(logits_cond, logits_uncond, weight):
    c, u = F.logsigmoid(logits_cond), F.logsigmoid(logits_uncond)
    return u + weight * (c - u)


@wrong("cfg_logits", "log_probabilities")
def log_softmaxes(logits_cond, logits_uncond, weight):
    c, u = torch.log_softmax(logits_cond, -1), torch.log_softmax(logits_uncond, -1)
    return u + weight * (c - u)


@wrong("cfg_logits", "averaged_over_batch")
def averaged(logits_cond, logits_uncond, weight):
    return (logits_uncond + weight * (logits_cond - logits_uncond)).mean()


@wrong("cfg_logits", "unstable")
def through_odds(logits_cond, logits_uncond, weight):
    """Right on paper: guidance multiplies odds. In floating point they overflow."""
    return torch.log(torch.exp(logits_cond) ** weight * torch.exp(logits_uncond) ** (1 - weight))


@wrong("cfg_logits", "detached")
def frozen(logits_cond, logits_uncond, weight):
    with torch.no_grad():
        return logits_uncond + weight * (logits_cond - logits_uncond)


@wrong("cfg_logits", "detached")
def half_frozen(logits_cond, logits_uncond, weight):
    u = logits_uncond.detach()
    return u + weight * (logits_cond - u)


@wrong("cfg_logits", "modified_arguments")
def in_place(logits_cond, logits_uncond, weight):
    out = logits_uncond + weight * (logits_cond - logits_uncond)
    logits_uncond.data.copy_(out.data)
    return out


@wrong("cfg_logits", "wrong_signature")
def two_arguments(logits_cond, logits_uncond):
    return logits_cond
