"""Answers to set 16: the nearest code, and the two terms that bring codes and outputs together."""

import torch
import torch.nn.functional as F
from bank import right, wrong

# --- quantize ------------------------------------------------------------------------------------


def _squares(z, codebook):
    """|z - e|^2 for every pair, [B, N]."""
    return (z[:, None] - codebook).square().sum(-1)


def _straight_through(z, codes):
    return z + (codes - z).detach()


def _by(z, codebook, indices):
    return _straight_through(z, codebook[indices]), indices


@right("quantize")
def every_pair(z, codebook):
    distance = ((z[:, None, :] - codebook[None, :, :]) ** 2).sum(dim=2)
    indices = distance.argmin(dim=1)
    z_q = z + (codebook[indices] - z).detach()
    return z_q, indices


@right("quantize")
def distance_with_cdist(z, codebook):
    indices = torch.cdist(z, codebook).argmin(dim=-1)
    return _by(z, codebook, indices)


@right("quantize")
def square_written_out(z, codebook):
    distance = z.square().sum(1, keepdim=True) - 2 * z @ codebook.T + codebook.square().sum(1)[None]
    return _by(z, codebook, distance.argmin(1))


@right("quantize")
def without_the_square_of_z(z, codebook):
    with torch.no_grad():
        indices = (codebook.square().sum(-1) - 2 * z @ codebook.mT).argmin(-1)
    return _by(z, codebook, indices)


@right("quantize")
def row_by_row(z, codebook):
    rows, indices = [], []
    for one in z:
        distance = torch.stack([(one - code).norm() for code in codebook])
        k = int(distance.argmin())
        indices.append(k)
        rows.append(one + (codebook[k] - one).detach())
    return torch.stack(rows), torch.tensor(indices, device=z.device)


@right("quantize")
def one_hot_times_codebook(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    one_hot = F.one_hot(indices, len(codebook)).to(codebook)
    return _straight_through(z, one_hot @ codebook), indices


@right("quantize")
def detached_from_the_start(z, codebook, **unused):
    values, rows = z.detach(), codebook.detach()
    indices = torch.sum((values.unsqueeze(1) - rows.unsqueeze(0)) ** 2, -1).min(dim=1).indices
    return z + (rows[indices] - values), indices


@right("quantize")
def code_plus_nothing(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return codebook[indices].detach() + (z - z.detach()), indices


@right("quantize")
def double_inside(z, codebook):
    indices = _squares(z.double(), codebook.double()).argmin(1)
    codes = F.embedding(indices, codebook)
    return z - (z - codes).detach(), indices


@right("quantize")
def own_gradient(z, codebook):
    class Nearest(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z, codebook):
            indices = torch.cdist(z, codebook).argmin(1)
            ctx.mark_non_differentiable(indices)
            return codebook[indices], indices

        @staticmethod
        def backward(ctx, grad, _):
            return grad, None

    return Nearest.apply(z, codebook)


@right("quantize")
def a_list_of_two(z, codebook):
    order = torch.einsum("nl,nl->n", codebook, codebook) - 2 * torch.einsum(
        "bl,nl->bn", z, codebook
    )
    indices = torch.topk(order, 1, dim=1, largest=False).indices[:, 0]
    codes = codebook.gather(0, indices[:, None].expand(-1, codebook.shape[1]))
    return [_straight_through(z, codes), indices]


# --- which code is nearest -----------------------------------------------------------------------


@wrong("quantize", "farthest")
def argmax_of_the_distance(z, codebook):
    return _by(z, codebook, _squares(z, codebook).argmax(1))


@wrong("quantize", "farthest")
def sign_of_the_product(z, codebook):
    return _by(z, codebook, (2 * z @ codebook.T - codebook.square().sum(1)).argmin(1))


@wrong("quantize", "wrong_axis")
def over_the_batch(z, codebook):
    codes = codebook[_squares(z, codebook).argmin(0)]  # [N, L]
    return z + (codes - z).detach(), _squares(z, codebook).argmin(0)


@wrong("quantize", "wrong_axis")
def summed_over_the_codes(z, codebook):
    distance = (z[:, None] - codebook).square().sum(1)  # [B, L]
    return _by(z, codebook, distance.argmin(1))


@wrong("quantize", "sum_of_differences", "wrong_distance")
def without_a_square(z, codebook):
    return _by(z, codebook, (z[:, None] - codebook).sum(-1).argmin(1))


@wrong("quantize", "sum_of_differences", "wrong_distance")
def square_of_the_sum(z, codebook):
    return _by(z, codebook, (z[:, None] - codebook).sum(-1).square().argmin(1))


@wrong("quantize", "l1_distance")
def sum_of_sizes(z, codebook):
    return _by(z, codebook, (z[:, None] - codebook).abs().sum(-1).argmin(1))


@wrong("quantize", "l1_distance")
def cdist_of_order_one(z, codebook):
    return _by(z, codebook, torch.cdist(z, codebook, p=1).argmin(1))


@wrong("quantize", "largest_difference")
def maximum_norm(z, codebook):
    return _by(z, codebook, (z[:, None] - codebook).abs().amax(-1).argmin(1))


@wrong("quantize", "dot_product")
def most_similar(z, codebook):
    return _by(z, codebook, (z @ codebook.T).argmax(1))


@wrong("quantize", "dot_product")
def square_of_the_code_forgotten(z, codebook):
    distance = z.square().sum(1, keepdim=True) - 2 * z @ codebook.T
    return _by(z, codebook, distance.argmin(1))


@wrong("quantize", "factor_two_missing")
def product_counted_once(z, codebook):
    return _by(z, codebook, (codebook.square().sum(1) - z @ codebook.T).argmin(1))


@wrong("quantize", "product_added")
def plus_instead_of_minus(z, codebook):
    distance = z.square().sum(1, keepdim=True) + 2 * z @ codebook.T + codebook.square().sum(1)
    return _by(z, codebook, distance.argmin(1))


@wrong("quantize", "cosine")
def cosine_similarity(z, codebook):
    return _by(z, codebook, F.cosine_similarity(z[:, None], codebook, dim=-1).argmax(1))


@wrong("quantize", "cosine")
def unit_lengths(z, codebook):
    unit = F.normalize(codebook, dim=1)
    indices = torch.cdist(F.normalize(z, dim=1), unit).argmin(1)
    return _by(z, codebook, indices)


@wrong("quantize", "codes_normalized")
def unit_codes_returned(z, codebook):
    unit = F.normalize(codebook, dim=1)
    indices = torch.cdist(F.normalize(z, dim=1), unit).argmin(1)
    return _by(z, unit, indices)


@wrong("quantize", "least_product")
def argmin_of_a_similarity(z, codebook):
    return _by(z, codebook, (z @ codebook.T).argmin(1))


@wrong("quantize", "one_for_all")
def nearest_in_the_whole_batch(z, codebook):
    k = _squares(z, codebook).argmin() % len(codebook)
    return _by(z, codebook, k.expand(len(z)))


@wrong("quantize", "one_for_all")
def nearest_to_the_mean(z, codebook):
    k = _squares(z, codebook).mean(0).argmin()
    return _by(z, codebook, k.expand(len(z)))


@wrong("quantize", "first_latent_only")
def one_coordinate(z, codebook):
    return _by(z, codebook, (z[:, :1] - codebook[:, 0]).square().argmin(1))


# --- what is returned ----------------------------------------------------------------------------


@wrong("quantize", "soft_assignment")
def softmax_of_the_distances(z, codebook):
    distance = _squares(z, codebook)
    return torch.softmax(-distance, 1) @ codebook, distance.argmin(1)


@wrong("quantize", "not_deterministic")
def drawn_codes(z, codebook):
    weights = torch.softmax(-_squares(z, codebook), 1)
    return _by(z, codebook, torch.multinomial(weights, 1)[:, 0])


@wrong("quantize", "z_returned")
def straight_through_turned(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    codes = codebook[indices]
    return codes + (z - codes).detach(), indices


@wrong("quantize", "z_returned")
def value_of_z(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return z + 0 * codebook[indices], indices


@wrong("quantize", "difference")
def residual(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return (codebook[indices] - z).detach() + 0 * z, indices


@wrong("quantize", "difference")
def z_counted_twice(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return z + (z - codebook[indices]).detach(), indices


@wrong("quantize", "code_added")
def minus_z_forgotten(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return z + codebook[indices].detach(), indices


@wrong("quantize", "distance_returned")
def distance_of_the_nearest(z, codebook):
    smallest = _squares(z, codebook).min(1)
    return smallest.values, smallest.indices


@wrong("quantize", "swapped")
def indices_first(z, codebook):
    return every_pair(z, codebook)[::-1]


@wrong("quantize", "one_based")
def counted_from_one(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return z_q, indices + 1


@wrong("quantize", "one_hot")
def one_hot_indices(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return z_q, F.one_hot(indices, len(codebook))


@wrong("quantize", "kept_axis")
def column_of_indices(z, codebook):
    indices = _squares(z, codebook).argmin(1, keepdim=True)
    return _straight_through(z, codebook[indices[:, 0]]), indices


@wrong("quantize", "kept_axis")
def axis_in_the_middle(z, codebook):
    indices = _squares(z, codebook).argmin(1, keepdim=True)
    return _straight_through(z[:, None], codebook[indices]), indices


@wrong("quantize", "wrong_shape")
def squeezed(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return z_q.squeeze(), indices.squeeze()


@wrong("quantize", "not_integers", "wrong_dtype")
def indices_as_floats(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return z_q, indices.to(z.dtype)


@wrong("quantize", "wrong_type", "not_a_tuple")
def code_only(z, codebook):
    return every_pair(z, codebook)[0]


@wrong("quantize", "wrong_type", "wrong_count", "not_a_pair")
def three_things(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return z_q, indices, F.mse_loss(z_q, z)


@wrong("quantize", "wrong_type", "not_a_tuple")
def in_a_dictionary(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return {"z_q": z_q, "indices": indices}


@wrong("quantize", "wrong_type", "not_a_tensor")
def indices_as_a_list(z, codebook):
    z_q, indices = every_pair(z, codebook)
    return z_q, indices.tolist()


# --- where the gradient goes ---------------------------------------------------------------------


@wrong("quantize", "no_straight_through")
def rows_of_the_codebook(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return codebook[indices], indices


@wrong("quantize", "no_straight_through")
def detach_forgotten(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return z + (codebook[indices] - z), indices


@wrong("quantize", "no_straight_through")
def brackets_forgotten(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return z + codebook[indices] - z.clone(), indices


@wrong("quantize", "codebook_not_detached")
def gradient_to_both(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return codebook[indices] + z - z.detach(), indices


@wrong("quantize", "gradient_sign")
def z_taken_off(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return codebook[indices].detach() + z.detach() - z, indices


@wrong("quantize", "detached")
def nothing_left(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return codebook[indices].detach(), indices


@wrong("quantize", "detached")
def all_detached(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return (z + (codebook[indices] - z)).detach(), indices


@wrong("quantize", "detached")
def no_grad_around_everything(z, codebook):
    with torch.no_grad():
        return every_pair(z, codebook)


@wrong("quantize", "detached")
def only_codes_detached(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    return z + (codebook[indices].detach() - z), indices


# --- the rest ------------------------------------------------------------------------------------


@wrong("quantize", "modified_arguments")
def written_into_z(z, codebook):
    indices = _squares(z, codebook).argmin(1)
    with torch.no_grad():
        z.copy_(codebook[indices])
    return z, indices


@wrong("quantize", "modified_arguments")
def codebook_moved(z, codebook):
    z_q, indices = every_pair(z, codebook)
    with torch.no_grad():
        codebook[indices] += 0.01 * (z - codebook[indices])
    return z_q, indices


@wrong("quantize", "wrong_dtype")
def in_float32(z, codebook):
    return every_pair(z.float(), codebook.float())


@wrong("quantize", "imprecise")
def float32_inside(z, codebook):
    z_q, indices = every_pair(z.float(), codebook.float())
    return z_q.to(z.dtype), indices


@wrong("quantize", "nothing_returned")
def forgets_to_return(z, codebook):
    z_q, indices = every_pair(z, codebook)


# --- vq_loss -------------------------------------------------------------------------------------


@right("vq_loss")
def two_mean_squares(z, codes, beta):
    return F.mse_loss(codes, z.detach()) + beta * F.mse_loss(z, codes.detach())


@right("vq_loss")
def arguments_the_other_way_round(z, codes, beta):
    codebook_term = F.mse_loss(z.detach(), codes)
    commitment = F.mse_loss(codes.detach(), z)
    return beta * commitment + codebook_term


@right("vq_loss")
def squares_written_out(z, codes, beta):
    codebook_term = ((z.detach() - codes) ** 2).mean()
    commitment_term = ((z - codes.detach()) ** 2).mean()
    return codebook_term + beta * commitment_term


@right("vq_loss")
def sum_over_count(z, codes, beta):
    total = (codes - z.data).pow(2).sum() + beta * (z - codes.data).pow(2).sum()
    return total / z.numel()


@right("vq_loss")
def a_loop_over_rows(z, codes, beta):
    values = []
    for one, code in zip(z, codes, strict=True):
        term = (code - one.detach()).square().mean()
        values.append(term + beta * (one - code.detach()).square().mean())
    return torch.stack(values).mean()


@right("vq_loss")
def mean_of_means(z, codes, beta):
    codebook_term = (codes - z.detach()).square().mean(dim=1).mean(dim=0)
    commitment = (z - codes.detach()).square().mean(dim=0).mean(dim=0)
    return codebook_term.add(commitment, alpha=beta)


@right("vq_loss")
def modules_and_copies(z, codes, beta=0.25, reduction="mean"):
    with torch.no_grad():
        fixed_z, fixed_codes = z.clone(), codes.clone()
    criterion = torch.nn.MSELoss(reduction=reduction)
    return criterion(codes, fixed_z) + criterion(z, fixed_codes) * beta


@right("vq_loss")
def einsum_of_differences(z, codes, beta):
    a, b = codes - z.detach(), z - codes.detach()
    return (torch.einsum("bl,bl->", a, a) + beta * torch.einsum("bl,bl->", b, b)) / a.numel()


@right("vq_loss")
def double_inside_the_loss(z, codes, beta):
    z, codes = z.double(), codes.double()
    return F.mse_loss(codes, z.detach()) + beta * F.mse_loss(z, codes.detach())


@right("vq_loss")
def squared_norms(z, codes, beta):
    size = z.shape[0] * z.shape[1]
    codebook_term = torch.linalg.vector_norm(codes - z.detach()) ** 2 / size
    commitment = torch.linalg.vector_norm(z - codes.detach()) ** 2 / size
    return codebook_term + torch.as_tensor(beta, dtype=z.dtype, device=z.device) * commitment


@right("vq_loss")
def in_place_on_its_own(z, codes, beta):
    loss = F.mse_loss(z, codes.detach())
    loss = loss * beta
    loss += F.mse_loss(codes, z.detach())
    return loss


def _mse(a, b):
    return F.mse_loss(a, b)


# --- where its gradient goes: the values are right -----------------------------------------------


@wrong("vq_loss", "terms_swapped")
def beta_on_the_codebook_term(z, codes, beta):
    return beta * _mse(codes, z.detach()) + _mse(z, codes.detach())


@wrong("vq_loss", "terms_swapped")
def detaches_swapped(z, codes, beta):
    codebook_term = _mse(codes.detach(), z)
    commitment = _mse(z.detach(), codes)
    return codebook_term + beta * commitment


@wrong("vq_loss", "not_detached")
def no_detach_at_all(z, codes, beta):
    return _mse(codes, z) + beta * _mse(z, codes)


@wrong("vq_loss", "not_detached")
def one_square_for_both(z, codes, beta):
    return (1 + beta) * (z - codes).square().mean()


@wrong("vq_loss", "z_not_detached")
def codebook_term_pulls_z(z, codes, beta):
    return _mse(codes, z) + beta * _mse(z, codes.detach())


@wrong("vq_loss", "codes_not_detached")
def commitment_pulls_codes(z, codes, beta):
    return _mse(codes, z.detach()) + beta * _mse(z, codes)


@wrong("vq_loss", "z_always_detached")
def z_detached_in_both(z, codes, beta):
    return _mse(codes, z.detach()) + beta * _mse(codes, z.detach())


@wrong("vq_loss", "z_always_detached")
def z_detached_at_the_top(z, codes, beta):
    z = z.detach()
    return _mse(codes, z) + beta * _mse(z, codes.detach()) + beta * 0 * codes.sum()


@wrong("vq_loss", "codes_always_detached")
def codes_detached_in_both(z, codes, beta):
    return _mse(codes.detach(), z) + beta * _mse(z, codes.detach())


@wrong("vq_loss", "codes_always_detached")
def codes_detached_at_the_top(z, codes, beta):
    codes = codes.detach()
    return _mse(codes, z.detach()) + beta * _mse(z, codes)


@wrong("vq_loss", "codes_always_detached")
def codebook_term_fully_detached(z, codes, beta):
    return _mse(codes.detach(), z.detach()) + beta * _mse(z, codes.detach())


@wrong("vq_loss", "z_always_detached")
def commitment_fully_detached(z, codes, beta):
    return _mse(codes, z.detach()) + beta * _mse(z.detach(), codes.detach())


@wrong("vq_loss", "straight_through_inside")
def straight_through_codes(z, codes, beta):
    codes = z + (codes - z).detach()
    return _mse(codes, z.detach()) + beta * _mse(z, codes.detach())


@wrong("vq_loss", "detached")
def nothing_to_train(z, codes, beta):
    z, codes = z.detach(), codes.detach()
    return _mse(codes, z) + beta * _mse(z, codes)


@wrong("vq_loss", "detached")
def no_grad_around_the_loss(z, codes, beta):
    with torch.no_grad():
        return two_mean_squares(z, codes, beta)


@wrong("vq_loss", "wrong_gradient")
def a_tenth_of_the_gradient(z, codes, beta):
    loss = two_mean_squares(z, codes, beta)
    return 0.1 * loss + 0.9 * loss.detach()


# --- its value -----------------------------------------------------------------------------------


@wrong("vq_loss", "sum_instead_of_mean")
def summed_over_everything(z, codes, beta):
    codebook_term = (codes - z.detach()).square().sum()
    return codebook_term + beta * (z - codes.detach()).square().sum()


@wrong("vq_loss", "summed_over_latents")
def mean_of_squared_lengths(z, codes, beta):
    codebook_term = (codes - z.detach()).square().sum(1).mean()
    return codebook_term + beta * (z - codes.detach()).square().sum(1).mean()


@wrong("vq_loss", "summed_over_batch")
def means_summed_over_the_batch(z, codes, beta):
    codebook_term = (codes - z.detach()).square().mean(1).sum()
    return codebook_term + beta * (z - codes.detach()).square().mean(1).sum()


@wrong("vq_loss", "not_reduced")
def one_value_for_each_example(z, codes, beta):
    codebook_term = (codes - z.detach()).square().mean(1)
    return codebook_term + beta * (z - codes.detach()).square().mean(1)


@wrong("vq_loss", "not_reduced")
def one_value_for_each_element(z, codes, beta):
    return (codes - z.detach()).square() + beta * (z - codes.detach()).square()


@wrong("vq_loss", "beta_missing")
def beta_forgotten(z, codes, beta):
    return _mse(codes, z.detach()) + _mse(z, codes.detach())


@wrong("vq_loss", "beta_on_both")
def beta_outside_the_brackets(z, codes, beta):
    return beta * (_mse(codes, z.detach()) + _mse(z, codes.detach()))


@wrong("vq_loss", "beta_fixed")
def always_a_quarter(z, codes, beta):
    return _mse(codes, z.detach()) + 0.25 * _mse(z, codes.detach())


@wrong("vq_loss", "one_term_only")
def a_mixture_of_the_terms(z, codes, beta):
    return (1 - beta) * _mse(codes, z.detach()) + beta * _mse(z, codes.detach())


@wrong("vq_loss", "one_term_only")
def codebook_term_only(z, codes, beta):
    return _mse(codes, z.detach()) + 0 * z.sum()


@wrong("vq_loss", "one_term_only")
def commitment_only(z, codes, beta):
    return beta * _mse(z, codes.detach()) + 0 * codes.sum()


@wrong("vq_loss", "sign")
def both_turned(z, codes, beta):
    return -_mse(codes, z.detach()) - beta * _mse(z, codes.detach())


@wrong("vq_loss", "term_subtracted")
def commitment_subtracted(z, codes, beta):
    return _mse(codes, z.detach()) - beta * _mse(z, codes.detach())


@wrong("vq_loss", "root")
def distances(z, codes, beta):
    codebook_term = (codes - z.detach()).norm(dim=1).mean()
    return codebook_term + beta * (z - codes.detach()).norm(dim=1).mean()


@wrong("vq_loss", "root")
def root_of_the_mean_square(z, codes, beta):
    return _mse(codes, z.detach()).sqrt() + beta * _mse(z, codes.detach()).sqrt()


@wrong("vq_loss", "l1_distance")
def absolute_differences(z, codes, beta):
    return F.l1_loss(codes, z.detach()) + beta * F.l1_loss(z, codes.detach())


@wrong("vq_loss", "huber")
def smooth_corner(z, codes, beta):
    return F.smooth_l1_loss(codes, z.detach()) + beta * F.smooth_l1_loss(z, codes.detach())


@wrong("vq_loss", "half")
def half_of_the_square(z, codes, beta):
    return 0.5 * _mse(codes, z.detach()) + 0.5 * beta * _mse(z, codes.detach())


@wrong("vq_loss", "one_term_summed")
def mean_and_sum(z, codes, beta):
    codebook_term = (codes - z.detach()).square().sum(1).mean()
    return codebook_term + beta * _mse(z, codes.detach())


@wrong("vq_loss", "no_square")
def differences_that_cancel(z, codes, beta):
    return (codes - z.detach()).mean() + beta * (z - codes.detach()).mean()


@wrong("vq_loss", "wrong_type")
def a_float(z, codes, beta):
    return two_mean_squares(z, codes, beta).item()


@wrong("vq_loss", "wrong_type")
def both_terms(z, codes, beta):
    return _mse(codes, z.detach()), beta * _mse(z, codes.detach())


@wrong("vq_loss", "wrong_dtype")
def loss_in_float32(z, codes, beta):
    return two_mean_squares(z.float(), codes.float(), beta)


@wrong("vq_loss", "imprecise")
def loss_with_float32_inside(z, codes, beta):
    return two_mean_squares(z.float(), codes.float(), beta).to(z.dtype)


@wrong("vq_loss", "wrong_shape")
def in_a_list_of_one(z, codes, beta):
    return two_mean_squares(z, codes, beta).reshape(1)


@wrong("vq_loss", "modified_arguments")
def codes_moved_at_once(z, codes, beta):
    loss = two_mean_squares(z, codes, beta)
    with torch.no_grad():
        codes += 0.1 * (z - codes)
    return loss


@wrong("vq_loss", "nothing_returned")
def loss_not_returned(z, codes, beta):
    loss = two_mean_squares(z, codes, beta)  # noqa: F841


@wrong("vq_loss", "raised")
def refuses_any_beta(z, codes, beta):
    raise ValueError("beta")
