"""Answers to set 13: the mutual information gap."""

import numpy as np
import torch
from bank import right, wrong

# --- mutual_information_gap ----------------------------------------------------------------------


def _sorted(mi):
    return mi.sort(dim=0, descending=True).values


@right("mutual_information_gap")
def two_largest(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).mean().item()


@right("mutual_information_gap")
def sorted_upwards(mi, entropy, eps=0.0):
    ordered = torch.sort(mi, dim=0).values
    return float(torch.mean((ordered[-1] - ordered[-2]) / (entropy + eps)))


@right("mutual_information_gap")
def normalized_first(mi, entropy):
    ordered = _sorted(mi / entropy)
    return (ordered[0] - ordered[1]).sum().item() / entropy.numel()


@right("mutual_information_gap")
def in_numpy(mi, entropy):
    m = np.sort(mi.detach().cpu().numpy(), axis=0)[::-1]
    return float(np.mean(np.divide(m[0] - m[1], entropy.detach().cpu().numpy())))


@right("mutual_information_gap")
def numpy_number(mi, entropy):
    m = np.partition(mi.detach().cpu().double().numpy(), -2, axis=0)
    return np.mean((m[-1] - m[-2]) / entropy.detach().cpu().double().numpy())


@right("mutual_information_gap")
def factor_by_factor(mi, entropy):
    gaps = []
    for f in range(len(entropy)):
        column = sorted(mi[:, f].tolist(), reverse=True)
        gaps.append((column[0] - column[1]) / entropy[f].item())
    return sum(gaps) / len(gaps)


@right("mutual_information_gap")
def without_the_best(mi, entropy):
    best = mi.argmax(dim=0)
    rest = mi.clone()
    rest[best, torch.arange(mi.shape[1], device=mi.device)] = -torch.inf
    return ((mi.amax(0) - rest.amax(0)) / entropy).mean().item()


@right("mutual_information_gap")
def weighted_with_einsum(mi, entropy):
    signs = torch.zeros(len(mi), dtype=mi.dtype, device=mi.device)
    signs[0], signs[1] = 1, -1
    return (torch.einsum("lf,l,f->", _sorted(mi), signs, 1 / entropy) / len(entropy)).item()


@right("mutual_information_gap")
def transposed(mi, entropy):
    ordered = np.sort(np.array(mi.T.tolist()), axis=1)
    return float(((ordered[:, -1] - ordered[:, -2]) / np.array(entropy.tolist())).mean())


@right("mutual_information_gap")
def running_maxima(mi, entropy):
    total = 0.0
    for column, h in zip(mi.T, entropy, strict=True):
        first = second = -1.0
        for value in column.tolist():
            if value > first:
                first, second = value, first
            elif value > second:
                second = value
        total += (first - second) / float(h)
    return total / len(entropy)


@right("mutual_information_gap")
def in_float32(mi, entropy):
    return two_largest(mi.float(), entropy.float())


@wrong("mutual_information_gap", "gap_over_factors")
def gap_of_each_latent(mi, entropy):
    ordered = (mi / entropy).sort(dim=1, descending=True).values
    return (ordered[:, 0] - ordered[:, 1]).mean().item()


@wrong("mutual_information_gap", "gap_over_factors")
def topk_of_the_last_axis(mi, entropy):
    top = (mi / entropy).topk(2).values
    return (top[..., 0] - top[..., 1]).mean().item()


@wrong("mutual_information_gap", "gap_over_factors")
def topk_without_a_dim(mi, entropy):
    top = mi.topk(2).values
    return ((top[:, 0] - top[:, 1]) / entropy).mean().item()


@wrong("mutual_information_gap", "gap_over_factors")
def best_latent_against_its_other_factors(mi, entropy):
    gaps = []
    share = mi / entropy
    for f in range(len(entropy)):
        best = share[:, f].argmax()
        others = torch.cat([share[best, :f], share[best, f + 1 :]])
        gaps.append((share[best, f] - others.max()).item())
    return sum(gaps) / len(gaps)


@wrong("mutual_information_gap", "not_normalized")
def in_nats(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return (first - second).mean().item()


@wrong("mutual_information_gap", "ratio_of_means")
def entropies_averaged(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second).mean() / entropy.mean()).item()


@wrong("mutual_information_gap", "ratio_of_means")
def entropies_summed(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second).mean() / entropy.sum()).item()


@wrong("mutual_information_gap", "divided_by_largest")
def relative_gap(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / first).nan_to_num().mean().item()


@wrong("mutual_information_gap", "divided_by_sum")
def share_of_the_information(mi, entropy):
    share = mi / mi.sum(0).clamp(min=1e-12)
    first, second = share.topk(2, dim=0).values
    return (first - second).mean().item()


@wrong("mutual_information_gap", "multiplied_by_entropy")
def times_entropy(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) * entropy).mean().item()


@wrong("mutual_information_gap", "range")
def largest_minus_smallest(mi, entropy):
    return ((mi.amax(0) - mi.amin(0)) / entropy).mean().item()


@wrong("mutual_information_gap", "largest_only")
def only_the_best(mi, entropy):
    return (mi.amax(0) / entropy).mean().item()


@wrong("mutual_information_gap", "second_only")
def only_the_second(mi, entropy):
    return (mi.topk(2, dim=0).values[1] / entropy).mean().item()


@wrong("mutual_information_gap", "smallest_two")
def sorted_the_wrong_way(mi, entropy):
    ordered = mi.sort(dim=0).values
    return ((ordered[1] - ordered[0]) / entropy).mean().item()


@wrong("mutual_information_gap", "sign")
def second_minus_first(mi, entropy):
    ordered = _sorted(mi)
    return ((ordered[1] - ordered[0]) / entropy).mean().item()


@wrong("mutual_information_gap", "not_sorted")
def first_two_latents(mi, entropy):
    return ((mi[0] - mi[1]) / entropy).mean().item()


@wrong("mutual_information_gap", "mean_of_others")
def best_minus_mean_of_others(mi, entropy):
    best = mi.amax(0)
    others = (mi.sum(0) - best) / (len(mi) - 1)
    return ((best - others) / entropy).mean().item()


@wrong("mutual_information_gap", "mean_of_others")
def best_minus_mean(mi, entropy):
    return ((mi.amax(0) - mi.mean(0)) / entropy).mean().item()


@wrong("mutual_information_gap", "sum_of_others")
def best_minus_all_others(mi, entropy):
    return ((2 * mi.amax(0) - mi.sum(0)) / entropy).mean().item()


@wrong("mutual_information_gap", "summed")
def sum_over_factors(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).sum().item()


@wrong("mutual_information_gap", "wrong_count")
def divided_by_latents(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).sum().item() / len(mi)


@wrong("mutual_information_gap", "over_everything")
def two_largest_of_the_table(mi, entropy):
    first, second = (mi / entropy).flatten().topk(2).values
    return (first - second).item()


@wrong("mutual_information_gap", "mean_before_gap")
def latents_averaged_first(mi, entropy):
    first, second = (mi / entropy).mean(1).topk(2).values
    return (first - second).item()


@wrong("mutual_information_gap", "ties_dropped")
def second_different_value(mi, entropy):
    gaps = []
    for f in range(len(entropy)):
        different = sorted(set(mi[:, f].tolist()), reverse=True)
        second = different[1] if len(different) > 1 else different[0]
        gaps.append((different[0] - second) / entropy[f].item())
    return sum(gaps) / len(gaps)


@wrong("mutual_information_gap", "ties_dropped")
def below_the_largest(mi, entropy):
    first = mi.amax(0)
    second = mi.where(mi < first, -torch.inf).amax(0)
    second = second.where(second.isfinite(), first)
    return ((first - second) / entropy).mean().item()


@wrong("mutual_information_gap", "silent_factor_skipped")
def only_factors_that_are_known(mi, entropy):
    known = mi.amax(0) > 0
    first, second = mi[:, known].topk(2, dim=0).values
    gaps = (first - second) / entropy[known]
    return gaps.mean().item() if len(gaps) else 0.0


@wrong("mutual_information_gap", "best_factor")
def best_factor_only(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).max().item()


@wrong("mutual_information_gap", "not_averaged")
def one_for_each_factor(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return (first - second) / entropy


@wrong("mutual_information_gap", "not_averaged")
def list_of_gaps(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).tolist()


@wrong("mutual_information_gap", "not_a_float")
def scalar_tensor(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / entropy).mean()


@wrong("mutual_information_gap", "not_a_float")
def numpy_float32(mi, entropy):
    return np.float32(two_largest(mi, entropy))


@wrong("mutual_information_gap", "needs_detach")
def numpy_without_detach(mi, entropy):
    m = np.sort(mi.numpy(), axis=0)
    return float(((m[-1] - m[-2]) / entropy.numpy()).mean())


@wrong("mutual_information_gap", "entropy_of_latents")
def entropy_for_each_latent(mi, entropy):
    first, second = (mi / entropy[:, None]).topk(2, dim=0).values
    return (first - second).mean().item()


@wrong("mutual_information_gap", "modified_arguments")
def divides_in_place(mi, entropy):
    with torch.no_grad():
        mi /= entropy
    first, second = mi.topk(2, dim=0).values
    return (first - second).mean().item()


@wrong("mutual_information_gap", "modified_arguments")
def largest_overwritten(mi, entropy):
    first = mi.amax(0).detach().clone()
    with torch.no_grad():
        mi[mi.argmax(0), torch.arange(mi.shape[1])] = 0
    return ((first - mi.amax(0)) / entropy).mean().item()


@wrong("mutual_information_gap", "small_constant", "imprecise")
def entropy_with_a_constant(mi, entropy):
    first, second = mi.topk(2, dim=0).values
    return ((first - second) / (entropy + 1e-3)).mean().item()


@wrong("mutual_information_gap", "imprecise")
def rounded_to_five_digits(mi, entropy):
    return round(two_largest(mi, entropy), 5)


@wrong("mutual_information_gap", "nothing_returned")
def forgets_to_return(mi, entropy):
    two_largest(mi, entropy)
