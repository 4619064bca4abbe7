"""Answers to set 08: straight and great-circle paths between latents, and attribute vectors."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from bank import right, wrong

# --- lerp ----------------------------------------------------------------------------------------


@right("lerp")
def by_linspace(z0, z1, steps):
    t = torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]
    return (1 - t) * z0 + t * z1


@right("lerp")
def from_the_start(z0, z1, steps):
    t = torch.arange(steps, device=z0.device).unsqueeze(1) / (steps - 1)
    return z0 + t * (z1 - z0)


@right("lerp")
def step_by_step(z0, z1, steps):
    return torch.stack([z0 + (z1 - z0) * k / (steps - 1) for k in range(steps)])


@right("lerp")
def by_torch_lerp(z0, z1, steps, dtype=torch.float64):
    t = torch.linspace(0.0, 1.0, steps, dtype=dtype, device=z0.device)
    rows = [torch.lerp(z0.to(dtype), z1.to(dtype), w) for w in t]
    return torch.cat([row[None] for row in rows])


@right("lerp")
def by_outer(z0, z1, steps):
    t = torch.from_numpy(np.linspace(0, 1, steps)).to(z0)
    return torch.outer(1 - t, z0) + torch.outer(t, z1)


@right("lerp")
def by_einsum(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)
    return torch.einsum("tk,kl->tl", torch.stack([1 - t, t], 1), torch.stack([z0, z1]))


@right("lerp")
def written_into_a_buffer(z0, z1, steps):
    out = torch.empty(steps, len(z0), dtype=z0.dtype, device=z0.device)
    for k, t in enumerate(np.linspace(0, 1, steps)):
        out[k] = (1 - float(t)) * z0 + float(t) * z1
    return out


@wrong("lerp", "order_turned")
def from_the_end(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    return t * z0 + (1 - t) * z1


@wrong("lerp", "end_missing")
def last_one_missing(z0, z1, steps):
    t = torch.arange(steps).to(z0)[:, None] / steps
    return (1 - t) * z0 + t * z1


@wrong("lerp", "end_missing")
def both_missing(z0, z1, steps):
    t = torch.linspace(0, 1, steps + 2).to(z0)[1:-1, None]
    return (1 - t) * z0 + t * z1


@wrong("lerp", "end_missing")
def first_one_missing(z0, z1, steps):
    return torch.stack([z0 + (z1 - z0) * k / steps for k in range(1, steps + 1)])


@wrong("lerp", "wrong_count")
def one_too_many(z0, z1, steps):
    return torch.stack([z0 + (z1 - z0) * k / steps for k in range(steps + 1)])


@wrong("lerp", "wrong_count")
def steps_between(z0, z1, steps):
    t = torch.linspace(0, 1, steps + 2).to(z0)[:, None]
    return (1 - t) * z0 + t * z1


@wrong("lerp", "start_missing")
def only_the_difference(z0, z1, steps):
    return torch.linspace(0, 1, steps).to(z0)[:, None] * (z1 - z0)


@wrong("lerp", "end_not_subtracted")
def not_subtracted(z0, z1, steps):
    return z0 + torch.linspace(0, 1, steps).to(z0)[:, None] * z1


@wrong("lerp", "transposed")
def latents_first(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)
    return z0[:, None] * (1 - t) + z1[:, None] * t


@wrong("lerp", "great_circle")
def slerp_instead(z0, z1, steps):
    return by_sines(z0, z1, steps)


@wrong("lerp", "ends_only")
def whole_division(z0, z1, steps):
    t = (torch.arange(steps) // (steps - 1)).to(z0)[:, None]
    return (1 - t) * z0 + t * z1


@wrong("lerp", "normalized")
def on_the_sphere(z0, z1, steps):
    return F.normalize(by_linspace(z0, z1, steps), dim=-1)


@wrong("lerp", "not_deterministic")
def random_places(z0, z1, steps):
    t = torch.rand(steps).sort().values.to(z0)[:, None]
    return (1 - t) * z0 + t * z1


@wrong("lerp", "sign")
def wrong_way(z0, z1, steps):
    return z0 - torch.linspace(0, 1, steps).to(z0)[:, None] * (z1 - z0)


@wrong("lerp", "smoothed")
def eased(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    t = t * t * (3 - 2 * t)
    return (1 - t) * z0 + t * z1


@wrong("lerp", "wrong_type")
def a_list(z0, z1, steps):
    return [z0 + (z1 - z0) * k / (steps - 1) for k in range(steps)]


@wrong("lerp", "detached")
def by_numpy(z0, z1, steps):
    rows = np.linspace(z0.detach().cpu().numpy(), z1.detach().cpu().numpy(), steps)
    return torch.from_numpy(rows).to(z0)


@wrong("lerp", "modified_arguments")
def moving_z0(z0, z1, steps):
    start = z0.clone()
    rows = []
    with torch.no_grad():
        for k in range(steps):
            z0.copy_(start + (z1 - start) * k / (steps - 1))
            rows.append(z0.clone())
    return torch.stack(rows)


@wrong("lerp", "equal_ends")
def by_direction(z0, z1, steps):
    distance = (z1 - z0).norm()
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    return z0 + t * distance * ((z1 - z0) / distance)


@wrong("lerp", "wrong_type")
def unfinished(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    return (1 - t) * z0, t * z1


# --- slerp ---------------------------------------------------------------------------------------


@right("slerp")
def by_sines(z0, z1, steps):
    t = torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]
    cos = (z0 @ z1 / (z0.norm() * z1.norm())).clamp(-1, 1)
    omega = torch.acos(cos)
    if omega < 1e-4:
        return (1 - t) * z0 + t * z1
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / torch.sin(omega)


@right("slerp")
def with_a_threshold(z0, z1, steps, threshold=0.9995):
    """The version that is copied most: straight where the ends are nearly parallel."""
    dot = torch.sum(z0 / torch.linalg.norm(z0) * (z1 / torch.linalg.norm(z1)))
    rows = []
    for t in np.linspace(0, 1, steps).tolist():
        if torch.abs(dot) > threshold:
            rows.append((1 - t) * z0 + t * z1)
            continue
        theta = torch.arccos(dot)
        s0, s1 = torch.sin((1 - t) * theta), torch.sin(theta * t)
        rows.append(s0 / torch.sin(theta) * z0 + s1 / torch.sin(theta) * z1)
    return torch.stack(rows)


@right("slerp")
def clamped_inside(z0, z1, steps):
    cos = F.cosine_similarity(z0, z1, dim=0)
    omega = cos.clamp(-1 + 1e-7, 1 - 1e-7).acos()
    t = torch.arange(steps, dtype=z0.dtype, device=z0.device) / (steps - 1)
    weights = torch.stack([((1 - t) * omega).sin(), (t * omega).sin()], 1) / omega.sin()
    return weights @ torch.stack([z0, z1])


@right("slerp")
def by_atan2(z0, z1, steps):
    """The angle from both sine and cosine, which stays exact for small angles."""
    a, b = z0.double(), z1.double()
    u, v = a / a.norm(), b / b.norm()
    if torch.equal(a, b):
        return z0.double().expand(steps, -1)
    omega = 2 * torch.atan2((u - v).norm(), (u + v).norm())
    t = torch.linspace(0, 1, steps, dtype=torch.float64, device=z0.device)
    return torch.outer(((1 - t) * omega).sin(), a) / omega.sin() + torch.outer(
        (t * omega).sin(), b
    ) / torch.sin(omega)


@right("slerp")
def by_where(z0, z1, steps):
    cos = torch.dot(z0, z1) / torch.sqrt((z0**2).sum() * (z1**2).sum())
    parallel = cos > 1 - 1e-6
    omega = torch.acos(torch.where(parallel, torch.zeros_like(cos), cos))
    t = torch.linspace(0, 1, steps).to(z0).unsqueeze(-1)
    w0 = torch.where(parallel, 1 - t, torch.sin((1 - t) * omega) / torch.sin(omega))
    w1 = torch.where(parallel, t, torch.sin(t * omega) / torch.sin(omega))
    return w0 * z0 + w1 * z1


@right("slerp")
def by_a_perpendicular(z0, z1, steps):
    """Cosine and sine of t times the angle, in terms of z0 and what of z1 is perpendicular to it."""
    if torch.allclose(z0, z1):
        return z0.repeat(steps, 1)
    n0, n1 = z0.norm(), z1.norm()
    cos = z0 @ z1 / n0 / n1
    omega = cos.acos()
    rows = []
    for k in range(steps):
        angle = omega * (k / (steps - 1))
        w1 = angle.sin() / omega.sin()
        w0 = angle.cos() - cos * w1
        rows.append(w0 * z0 + w1 * z1)
    return torch.stack(rows)


@right("slerp")
def places_in_float32(z0, z1, steps):
    """The places, and with them the weights, in torch's default dtype."""
    t = torch.linspace(0, 1, steps, device=z0.device).view(-1, 1)
    dot = (F.normalize(z0, dim=0) * F.normalize(z1, dim=0)).sum().clamp(-1, 1)
    omega = torch.acos(dot)
    so = torch.sin(omega)
    if so < 1e-6:
        return (1.0 - t) * z0 + t * z1
    return torch.sin((1.0 - t) * omega) / so * z0 + torch.sin(t * omega) / so * z1


@wrong("slerp", "straight_line")
def a_straight_line(z0, z1, steps):
    return by_linspace(z0, z1, steps)


@wrong("slerp", "norm_lost")
def of_unit_vectors(z0, z1, steps):
    return by_sines(z0 / z0.norm(), z1 / z1.norm(), steps)


@wrong("slerp", "norm_lost")
def line_pushed_to_the_sphere(z0, z1, steps):
    return F.normalize(by_linspace(z0, z1, steps), dim=-1)


@wrong("slerp", "norm_interpolated")
def direction_and_length_apart(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    length = (1 - t) * z0.norm() + t * z1.norm()
    if torch.equal(z0, z1):
        return z0.expand(steps, -1)
    return length * by_sines(z0 / z0.norm(), z1 / z1.norm(), steps)


@wrong("slerp", "line_at_right_length")
def line_stretched(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    length = (1 - t) * z0.norm() + t * z1.norm()
    return length * F.normalize((1 - t) * z0 + t * z1, dim=-1)


@wrong("slerp", "dot_not_normalized", "not_finite")
def dot_as_it_is(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    omega = torch.acos((z0 * z1).sum().clamp(-1 + 1e-6, 1 - 1e-6))
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / torch.sin(omega)


@wrong("slerp", "dot_not_normalized", "not_finite")
def dot_without_clamp(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    omega = torch.acos(z0 @ z1)
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / torch.sin(omega)


@wrong("slerp", "shorter_way")
def the_shorter_way(z0, z1, steps):
    """As for quaternions, where z1 and -z1 are one rotation."""
    if z0 @ z1 < 0:
        z1 = -z1
    return by_sines(z0, z1, steps)


@wrong("slerp", "missing_sine")
def not_divided(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    omega = torch.acos((F.normalize(z0, dim=0) @ F.normalize(z1, dim=0)).clamp(-1, 1))
    if torch.equal(z0, z1):
        return z0.expand(steps, -1)
    return torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1


@wrong("slerp", "sines_of_quarter")
def always_a_right_angle(z0, z1, steps):
    t = torch.linspace(0, math.pi / 2, steps).to(z0)[:, None]
    return torch.cos(t) * z0 + torch.sin(t) * z1


@wrong("slerp", "order_turned")
def turned_around(z0, z1, steps):
    return by_sines(z1, z0, steps)


@wrong("slerp", "end_missing")
def arc_without_its_end(z0, z1, steps):
    return by_sines(z0, z1, steps + 1)[:-1]


@wrong("slerp", "wrong_count")
def arc_with_one_more(z0, z1, steps):
    return by_sines(z0, z1, steps + 1)


@wrong("slerp", "transposed")
def arc_in_columns(z0, z1, steps):
    return by_sines(z0, z1, steps).T


@wrong("slerp", "equal_ends")
def no_thought_of_equal_ends(z0, z1, steps):
    t = torch.linspace(0, 1, steps, dtype=z0.dtype, device=z0.device)[:, None]
    omega = torch.acos(z0 @ z1 / (z0.norm() * z1.norm()))
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / torch.sin(omega)


@wrong("slerp", "equal_ends")
def a_constant_below(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    omega = torch.acos((z0 @ z1 / (z0.norm() * z1.norm())).clamp(-1, 1))
    sines = torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1
    return sines / (torch.sin(omega) + 1e-12)


@wrong("slerp", "detached")
def angle_without_gradient(z0, z1, steps):
    with torch.no_grad():
        return by_sines(z0, z1, steps)


@wrong("slerp", "wrong_gradient")
def gradient_of_the_ends_only(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    if torch.equal(z0, z1):
        return z0.expand(steps, -1)
    omega = math.acos(float(z0 @ z1 / (z0.norm() * z1.norm())))
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / math.sin(omega)


@wrong("slerp", "modified_arguments")
def normalized_in_place(z0, z1, steps):
    a, b = z0.clone(), z1.clone()
    with torch.no_grad():
        z0.div_(z0.norm())
    return by_sines(a, b, steps)


@wrong("slerp", "degrees")
def in_degrees(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    if torch.equal(z0, z1):
        return z0.expand(steps, -1)
    omega = torch.rad2deg(torch.acos(z0 @ z1 / (z0.norm() * z1.norm())))
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / torch.sin(omega)


@wrong("slerp", "missing_acos")
def cosine_for_angle(z0, z1, steps):
    t = torch.linspace(0, 1, steps).to(z0)[:, None]
    if torch.equal(z0, z1):
        return z0.expand(steps, -1)
    omega = z0 @ z1 / (z0.norm() * z1.norm())
    return (torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1) / torch.sin(omega)


# --- attribute_vector ----------------------------------------------------------------------------


@right("attribute_vector")
def two_means(z, has_attribute):
    return z[has_attribute].mean(dim=0) - z[~has_attribute].mean(dim=0)


@right("attribute_vector")
def sums_and_counts(z, has_attribute):
    w = has_attribute.to(z.dtype)[:, None]
    return (w * z).sum(0) / w.sum() - ((1 - w) * z).sum(0) / (1 - w).sum()


@right("attribute_vector")
def row_by_row(z, has_attribute):
    with_it, without = [], []
    for row, has in zip(z, has_attribute.tolist(), strict=True):
        (with_it if has else without).append(row)
    return sum(with_it) / len(with_it) - sum(without) / len(without)


@right("attribute_vector")
def by_signed_weights(z, has_attribute, dtype=torch.float64):
    n1 = has_attribute.sum()
    n0 = (~has_attribute).sum()
    weights = torch.where(has_attribute, 1 / n1.to(dtype), -1 / n0.to(dtype))
    return weights @ z.to(dtype)


@right("attribute_vector")
def by_regression(z, has_attribute):
    """The slope of z over the attribute is the difference of the two means."""
    a = has_attribute.double()
    a = a - a.mean()
    return torch.einsum("n,nl->l", a, z.double()) / (a * a).sum()


@right("attribute_vector")
def by_indices(z, has_attribute):
    yes = torch.nonzero(has_attribute).flatten()
    no = torch.nonzero(torch.logical_not(has_attribute)).squeeze(1)
    return torch.index_select(z, 0, yes).mean(0) - torch.index_select(z, 0, no).mean(0)


@right("attribute_vector")
def around_the_mean(z, has_attribute):
    """From the mean of all, and the share that has it: mean with is away by its share."""
    share = has_attribute.to(z).mean()
    return (z[has_attribute].mean(0) - z.mean(0)) / (1 - share)


@wrong("attribute_vector", "sign")
def without_minus_with(z, has_attribute):
    return z[~has_attribute].mean(0) - z[has_attribute].mean(0)


@wrong("attribute_vector", "minus_mean_of_all")
def minus_all(z, has_attribute):
    return z[has_attribute].mean(0) - z.mean(0)


@wrong("attribute_vector", "only_with")
def mean_with(z, has_attribute):
    return z[has_attribute].mean(0)


@wrong("attribute_vector", "divided_by_all")
def means_over_all(z, has_attribute):
    w = has_attribute.to(z)[:, None]
    return (z * w).mean(0) - (z * (1 - w)).mean(0)


@wrong("attribute_vector", "divided_by_all")
def zeros_in_the_mean(z, has_attribute):
    a, b = z.clone(), z.clone()
    a[~has_attribute] = 0
    b[has_attribute] = 0
    return a.mean(0) - b.mean(0)


@wrong("attribute_vector", "sums")
def sums(z, has_attribute):
    return z[has_attribute].sum(0) - z[~has_attribute].sum(0)


@wrong("attribute_vector", "wrong_axis", "wrong_shape", "raised")
def over_latents(z, has_attribute):
    n = min(int(has_attribute.sum()), int((~has_attribute).sum()))
    return z[has_attribute].mean(1)[:n] - z[~has_attribute].mean(1)[:n]


@wrong("attribute_vector", "mask_as_indices")
def mask_of_integers(z, has_attribute):
    has = has_attribute.long()
    return z[has].mean(0) - z[1 - has].mean(0)


@wrong("attribute_vector", "normalized")
def of_unit_length(z, has_attribute):
    return F.normalize(two_means(z, has_attribute), dim=0)


@wrong("attribute_vector", "kept_axis")
def kept(z, has_attribute):
    return two_means(z, has_attribute)[None]


@wrong("attribute_vector", "one_number")
def one_number(z, has_attribute):
    return z[has_attribute].mean() - z[~has_attribute].mean()


@wrong("attribute_vector", "scaled_by_spread")
def in_standard_deviations(z, has_attribute):
    return two_means(z, has_attribute) / z.std(0)


@wrong("attribute_vector", "median")
def medians(z, has_attribute):
    return z[has_attribute].median(0).values - z[~has_attribute].median(0).values


@wrong("attribute_vector", "halved")
def half(z, has_attribute):
    return (z[has_attribute].mean(0) - z[~has_attribute].mean(0)) / 2


@wrong("attribute_vector", "one_pair")
def first_pair(z, has_attribute):
    return z[has_attribute][0] - z[~has_attribute][0]


@wrong("attribute_vector", "added")
def added(z, has_attribute):
    return z[has_attribute].mean(0) + z[~has_attribute].mean(0)


@wrong("attribute_vector", "detached")
def as_numbers(z, has_attribute):
    return torch.tensor(two_means(z, has_attribute).tolist(), dtype=z.dtype, device=z.device)


@wrong("attribute_vector", "mask_subtracted")
def one_minus_a_mask(z, has_attribute):
    return z[has_attribute].mean(0) - z[1 - has_attribute].mean(0)


@wrong("attribute_vector", "rows_subtracted")
def pairs(z, has_attribute):
    return (z[has_attribute] - z[~has_attribute]).mean(0)


@wrong("attribute_vector", "modified_arguments")
def zeroed_in_place(z, has_attribute):
    vector = two_means(z, has_attribute)
    with torch.no_grad():
        z[has_attribute] = 0
    return vector
