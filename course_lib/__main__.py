"""The command line: ``python -m course_lib train|sample|evaluate|compress|...|doctor``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from course_lib import default_device

DESCRIPTION = """\
Train, sample and evaluate variational autoencoders from the command line.

  python -m course_lib train --quick
  python -m course_lib train --data mnist --out runs/mnist.pt
  python -m course_lib train --model residual --color --size 64 --likelihood discretized_logistic
  python -m course_lib sample runs/mnist.pt mnist.png
  python -m course_lib evaluate runs/mnist.pt --samples 500
  python -m course_lib reproduce
  python -m course_lib compress images.npy images.vae --model runs/mnist.pt
  python -m course_lib decompress images.vae again.npy --model runs/mnist.pt
  python -m course_lib doctor

Data sets: strokes (drawn by the course, no download), mnist, fashion_mnist, kmnist. The last three
are read from the folder in COURSE_DATA, or else downloaded once into the cache folder. The color
photographs of cifar10 and celeba are read from that folder too, and never downloaded.
"""

TRAIN = """\
Train a VAE and evaluate it on the test images.

The standard recipe takes minutes: a 784-300-300-40 network of fully connected layers with a
Bernoulli likelihood, its pixels binarized anew at every step, a prior that is a learned mixture of
normals, Adam at a learning rate that falls to zero along a cosine, a KL weight that rises to 1 over
the first epochs, and a last part of the run that maximizes IWAE-5 in place of the ELBO. --quick
takes about a minute: 784-400-20, 10 epochs, N(0, I) as the prior and the ELBO throughout. --long
takes half an hour: gated layers, a flow as the prior, and 140 epochs. The state of the run is in
OUT after every epoch: if the run was stopped, killed or cut off, the same command with --resume
goes on from there and ends as if nothing had happened. An existing OUT is never overwritten.

--model residual is for color images of 32 to 64 pixels and wants --likelihood discretized_logistic.
It is made for a GPU: one CPU core takes about a minute for every 1,000 images of 64 pixels in every
epoch, so use --limit there.
"""

SAMPLE = """\
Draw images from a trained model's prior and write them as one PNG grid.

Each image is E[x|z] for z drawn from p(z), the usual picture; --draw shows draws of x from p(x|z)
instead, which is what the model really generates. None is picked: the seed decides.
"""

REPRODUCE = """\
Train the models of a published table from a clean start and print obtained against published.

The table is that of Burda et al. (2016), table 1, for one stochastic layer: the VAE and the IWAE
with K = 5 and 50 on dynamically binarized MNIST, log p(x) estimated by IWAE-5000 on all test
images; and beside them what train reaches by itself. On two CPU cores that takes about an hour; it
may be stopped at any time, and the same command goes on. What the paper trained for 3,280 passes is
trained for far fewer; --passes multiplies them.
"""

EVALUATE = """\
Estimate ELBO and IWAE-K on the test images, in nats per image with standard errors.

For a Bernoulli likelihood the test images are binarized once, by a fixed seed, the same at every
call. IWAE-K rises with K towards log p(x): compare models at the same K only.
"""


COMPRESS = """\
Compress images without loss by bits-back coding with a trained VAE.

IMAGES is a .npy file ([N, H, W] or [N, C, H, W], 8-bit or floats in [0, 1]) or a folder of pictures
of one size. The model must have a discrete likelihood: bernoulli takes black and white pixels,
discretized_logistic 8-bit ones. Only the checkpoint that coded a file can decode it, and the file
says which. The rate comes near to the -ELBO that evaluate prints; a few images cost more each,
since the first bits are made up.
"""

DECOMPRESS = """\
Decode a file that compress wrote, with the same checkpoint.

OUT is a .npy file of 8-bit pixels, or else a folder, into which PNGs are written.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status (0 done, 1 a problem found, 2 bad input)."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        print(
            f"error: There is not enough memory ({str(error).splitlines()[0] or 'MemoryError'}). "
            "Ask for smaller sizes or fewer images.",
            file=sys.stderr,
        )
        return 2


# Every command imports what it needs: the doctor has to run where torch does not load.


def _train(a: argparse.Namespace) -> int:
    from course_lib import processes
    from course_lib.errors import check_seed, unknown
    from course_lib.models import LIKELIHOODS, PRIORS
    from course_lib.recipes import RECIPES, fit_options, recipe

    # What can be refused at once is, since drawing or fetching the images may take a while.
    known = {r["model"] for r in RECIPES.values()}
    if a.model not in known:
        raise unknown("model", a.model, known)
    if a.likelihood not in LIKELIHOODS:
        raise unknown("likelihood", a.likelihood, LIKELIHOODS)
    if a.prior is not None and a.prior not in PRIORS:
        raise unknown("prior", a.prior, PRIORS)
    pace = "quick" if a.quick else "long" if a.long else None
    if pace and a.model != "mlp":
        raise ValueError(f"--{pace} is a recipe for the mlp; leave out --model, or --{pace}.")
    kind = pace or a.model
    chosen = recipe("standard" if kind == "mlp" else kind)
    for name in ("latent_dim", "hidden", "prior", "width", "blocks", "checkpoint"):
        if getattr(a, name) is not None and name not in chosen:
            option = "checkpointing" if name == "checkpoint" else name.replace("_", "-")
            raise ValueError(
                f"--{option} is not for this model; leave it out with --model {a.model}."
            )
    # What is given on the command line comes before the recipe.
    settings = {k: v if getattr(a, k, None) is None else getattr(a, k) for k, v in chosen.items()}
    options = fit_options(settings)
    if options["final_objective"] is None and a.final_share is not None:
        raise ValueError(
            "--final-share is the share of the epochs that --iwae gets, and this run keeps to the "
            "ELBO; leave it out, or add --iwae with a number from 2 up."
        )
    if options["final_objective"] is not None:
        asked = {"--beta": settings["beta"] != 1, "--patience": settings["patience"] is not None}
        for name in asked:
            if asked[name]:
                raise ValueError(
                    f"{name} is about the ELBO, and the last part of this run maximizes "
                    f"IWAE-{settings['iwae']} in its place. Add --iwae 1 to keep to the ELBO."
                )
    check_seed(a.seed)
    try:
        with processes.joined(default_device(a.device)) as device:
            return _train_here(a, kind, settings, options, device)
    except processes.LostProcess as error:
        raise processes.LostProcess(
            f"{error} The checkpoint holds all epochs that were finished: the same command with "
            "--resume goes on, with any number of processes."
        ) from error


def _train_here(a: argparse.Namespace, kind: str, settings: dict, options: dict, device) -> int:
    """Train in this process, alone or with others that were started beside it."""
    import torch

    from course_lib import processes
    from course_lib.data import load
    from course_lib.files import check_writable
    from course_lib.recipes import make_model
    from course_lib.training import fit

    team = processes.team()

    def name_checkpoint() -> Path:
        out = check_writable(a.out or Path("runs") / f"{a.data}-{kind}.pt")
        if out.exists() and not a.resume:
            raise FileExistsError(
                f"{out} exists. Add --resume to go on from it, or give another --out."
            )
        return out

    out = team.agree(name_checkpoint)
    images = processes.one_first(
        lambda: load(a.data, size=a.size, color=a.color, num_train=a.limit)
    )
    torch.manual_seed(a.seed)
    model = make_model(settings, images.train.shape[1:], a.likelihood)
    binary = a.likelihood == "bernoulli"
    color = images.train.shape[1] == 3
    if color and binary and team.first:
        print(
            "note: a Bernoulli likelihood binarizes each color channel by chance, which leaves "
            "mostly noise; --likelihood discretized_logistic or gaussian keeps the colors.",
            file=sys.stderr,
        )
    result = fit(
        model,
        images.train,
        **options,
        binarize=binary,
        compile=a.compile,
        bf16=a.bf16,
        graph=a.graph,
        device=device,
        seed=a.seed,
        checkpoint=out,
        resume=a.resume,
        notes={"data": a.data, "size": images.train.shape[-1], "color": color},
    )
    done = f"{len(result.history)} of {settings['epochs']} epochs"
    if result.stopped == "interrupted":
        print(f"Stopped after {done}. The same command with --resume goes on.", file=sys.stderr)
        return 130
    if team.first:
        print(f"{done} ({result.stopped}), checkpoint {out}\n")
        test = images.test
        if _large(test) and device.type == "cpu" and len(test) > 1000:
            print("on the first 1,000 test images, for time; evaluate takes all of them")
            test = test[:1000]
        _report(result.model, test, binary, num_samples=16, progress=_large(test))
    return 0


def _sample(a: argparse.Namespace) -> int:
    import torch
    from torchvision.transforms.functional import to_pil_image
    from torchvision.utils import make_grid

    from course_lib.checkpoints import load_model
    from course_lib.errors import check_seed
    from course_lib.files import check_writable, replacing

    if a.out.suffix.lower() != ".png":
        raise ValueError(f"{a.out} does not end in .png; the grid is written as PNG.")
    check_writable(a.out)
    if a.out.exists() and not a.overwrite:
        raise FileExistsError(f"{a.out} exists. Add --overwrite, or give another name.")
    model = load_model(a.checkpoint)
    torch.manual_seed(check_seed(a.seed))
    images = model.sample(a.num, mean=not a.draw)
    grid = to_pil_image(make_grid(images.clamp(0, 1), nrow=a.columns, padding=2))
    with replacing(a.out) as file:
        grid.save(file, format="PNG")
    kind = "draws of x" if a.draw else "means E[x|z]"
    print(f"{a.out}: {a.num} {kind} for z from the prior, seed {a.seed}, none picked")
    return 0


def _evaluate(a: argparse.Namespace) -> int:
    from course_lib.checkpoints import load_model, read_checkpoint
    from course_lib.data import load

    notes = read_checkpoint(a.checkpoint).get("notes") or {}
    name = a.data or notes.get("data")
    if name is None:
        raise ValueError(f"{a.checkpoint} does not say on which data it was trained; add --data.")
    model = load_model(a.checkpoint).to(default_device(a.device))
    images = load(
        name,
        size=notes.get("size"),
        color=notes.get("color"),
        num_test=a.limit,
    )
    print(f"{a.checkpoint} on the test images of {name}")
    _report(
        model, images.test, getattr(model.head, "binary", False), a.samples, a.seed, progress=True
    )
    return 0


def _report(model, test, binary: bool, num_samples: int, seed: int = 0, progress=False) -> None:
    from course_lib.data import fixed_binarization
    from course_lib.evaluation import evaluate

    x = fixed_binarization(test) if binary else test
    print(evaluate(model, x, num_samples=num_samples, seed=seed, progress=progress))


def _large(x) -> bool:
    """Whether images have more numbers than 28×28 pixels in color have."""
    return x[0].numel() > 3 * 28 * 28


def _reproduce(a: argparse.Namespace) -> int:
    from course_lib.reproduce import ROWS, reproduce

    reproduce(
        a.rows or list(ROWS),
        out=a.out,
        data=a.data,
        num_samples=a.samples,
        limit=a.limit,
        passes=a.passes,
        compile=a.compile,
        device=default_device(a.device),
    )
    return 0


def _compress(a: argparse.Namespace) -> int:
    import time

    from course_lib.checkpoints import load_model
    from course_lib.compression import compress
    from course_lib.compression_files import read_images
    from course_lib.data import fixed_binarization
    from course_lib.files import check_writable, replacing

    check_writable(a.out)
    if a.out.exists():
        raise FileExistsError(f"{a.out} exists. Give another name.")
    model, x = load_model(a.model), read_images(a.images)
    if a.binarize:
        x = fixed_binarization(x)
    start = time.perf_counter()
    coded = compress(model, x, progress=True)
    seconds = time.perf_counter() - start
    with replacing(a.out) as file:
        file.write(coded.data)
    print(
        f"{a.out}: {coded.num_images:,} images in {len(coded.data):,} bytes, "
        f"{coded.bits_per_dim:.4f} bits/dim, {coded.num_images / seconds:,.0f} images/s"
    )
    return 0


def _decompress(a: argparse.Namespace) -> int:
    from course_lib.checkpoints import load_model
    from course_lib.compression import decompress
    from course_lib.compression_files import write_images
    from course_lib.files import check_writable

    if a.out.exists():
        raise FileExistsError(f"{a.out} exists. Give another name.")
    check_writable(a.out)
    data = a.file.read_bytes()
    x = decompress(load_model(a.model), data, progress=True)
    write_images(x, a.out)
    print(f"{a.out}: {len(x):,} images")
    return 0


def _doctor(a: argparse.Namespace) -> int:
    from course_lib.doctor import main as doctor

    return doctor([])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text.split("\n", 1)[0],
            description=text,
            formatter_class=_Help,
        )
        sub.set_defaults(run=run)
        return sub

    p = command("train", _train, TRAIN)
    p.add_argument(
        "--data",
        default="strokes",
        help="strokes, mnist, fashion_mnist, kmnist, cifar10 or celeba",
    )
    p.add_argument(
        "--size",
        type=int,
        help="height and width; all but strokes are resampled "
        "(default: 28, of cifar10 32, of celeba 64)",
    )
    p.add_argument(
        "--color",
        action=argparse.BooleanOptionalAction,
        help="three channels, or one; strokes, cifar10 and celeba have color in them "
        "(default: cifar10 and celeba in color, the others grey)",
    )
    p.add_argument("--limit", type=_count, help="use the first LIMIT training images only")
    p.add_argument(
        "--out", type=Path, help="checkpoint (default: runs/DATA-MODEL.pt, -quick.pt, -long.pt)"
    )
    p.add_argument("--resume", action="store_true", help="go on from OUT if it exists")
    pace = p.add_mutually_exclusive_group()
    pace.add_argument("--quick", action="store_true", help="the recipe that takes about a minute")
    pace.add_argument("--long", action="store_true", help="the recipe that takes half an hour")
    g = p.add_argument_group("model", "Where no default is given, the recipe decides.")
    g.add_argument("--model", default="mlp", help="mlp, conv, hierarchical or residual")
    g.add_argument("--latent-dim", type=_count, help="number of latents, L")
    g.add_argument("--hidden", type=_count, nargs="+", help="widths; a hierarchy: one a layer")
    g.add_argument("--width", type=_count, help="channels of the first stage: conv, residual")
    g.add_argument("--blocks", type=_count, help="residual blocks in each stage, each way")
    g.add_argument("--prior", help="standard, N(0, I), or learned: mixture, vamp, flow")
    g.add_argument(
        "--likelihood",
        default="bernoulli",
        help="bernoulli, continuous_bernoulli, gaussian or discretized_logistic",
    )
    g = p.add_argument_group("optimization", "Where no default is given, the recipe decides.")
    g.add_argument("--epochs", type=_count, help="passes over the training images")
    g.add_argument("--batch-size", type=_count, help="images in a step")
    g.add_argument("--lr", type=float, help="learning rate at its highest")
    g.add_argument("--optimizer", help="adam or adamw")
    g.add_argument("--weight-decay", type=float, help="as the optimizer takes it")
    g.add_argument("--schedule", help="of the learning rate: cosine or constant")
    g.add_argument("--beta", type=float, help="weight of the rate; 1 is the ELBO")
    g.add_argument("--warmup-epochs", type=float, help="epochs of rising beta")
    g.add_argument("--iwae", type=_count, help="K of the bound that the last epochs maximize")
    g.add_argument("--final-share", type=float, help="the share of the epochs that --iwae gets")
    g.add_argument("--clip-norm", type=float, help="largest norm of the gradient")
    g.add_argument("--ema", type=float, help="decay of an average of the weights, such as 0.999")
    g.add_argument("--validation", type=_share, help="share or number kept out")
    g.add_argument("--patience", type=_count, help="epochs without improvement before stopping")
    g.add_argument("--seed", type=int, default=0, help="of weights, split, order and noise")
    g = p.add_argument_group("speed")
    g.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    g.add_argument("--compile", action="store_true", help="compile the objective (C++ compiler)")
    g.add_argument("--bf16", action="store_true", help="layers in bfloat16")
    g.add_argument("--graph", action="store_true", help="on a GPU: the step as one CUDA graph")
    g.add_argument(
        "--checkpointing",
        dest="checkpoint",
        action="store_const",
        const=True,
        help="residual: keep less in memory and compute it twice (activation checkpointing)",
    )

    p = command("sample", _sample, SAMPLE)
    p.add_argument("checkpoint", type=Path, help="what train wrote")
    p.add_argument("out", type=Path, help="the PNG file to write")
    p.add_argument("--num", type=_count, default=64, help="how many images")
    p.add_argument("--columns", type=_count, default=8, help="images in a row")
    p.add_argument("--draw", action="store_true", help="draw x from p(x|z), not its mean")
    p.add_argument("--seed", type=int, default=0, help="of the draws")
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")

    p = command("evaluate", _evaluate, EVALUATE)
    p.add_argument("checkpoint", type=Path, help="what train wrote")
    p.add_argument("--data", help="data set (default: the one it was trained on)")
    p.add_argument("--samples", type=_count, default=64, help="K, draws of z per image")
    p.add_argument("--limit", type=_count, help="use the first LIMIT test images only")
    p.add_argument("--seed", type=int, default=0, help="of the draws")
    p.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")

    p = command("reproduce", _reproduce, REPRODUCE)
    p.add_argument("rows", nargs="*", help="rows of the table (default: all)")
    p.add_argument(
        "--data", default="mnist", help="the data set; the published figures are MNIST's"
    )
    p.add_argument(
        "--out", type=Path, default=Path("runs/reproduce"), help="where the runs are kept"
    )
    p.add_argument("--samples", type=_count, default=5000, help="K of the evaluation")
    p.add_argument("--limit", type=_count, help="use the first LIMIT training and test images only")
    p.add_argument("--passes", type=float, default=1.0, help="times as many epochs as by default")
    p.add_argument("--compile", action="store_true", help="compile the objective (C++ compiler)")
    p.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")

    p = command("compress", _compress, COMPRESS)
    p.add_argument("images", type=Path, help="a .npy file, or a folder of pictures")
    p.add_argument("out", type=Path, help="the file to write")
    p.add_argument("--model", type=Path, required=True, help="checkpoint that train wrote")
    p.add_argument(
        "--binarize", action="store_true", help="draw black and white from grey levels first"
    )

    p = command("decompress", _decompress, DECOMPRESS)
    p.add_argument("file", type=Path, help="what compress wrote")
    p.add_argument("out", type=Path, help="a .npy file, or a folder to make")
    p.add_argument("--model", type=Path, required=True, help="the checkpoint that coded it")

    command("doctor", _doctor, "Say what is installed and working, and how to mend what is not.")
    return parser


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keep the paragraphs of the description, and show every default that says something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS) or action.nargs == 0:
            return action.help
        return super()._get_help_string(action)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 up")
    return int(text)


def _share(text: str) -> float | int:
    """A share such as 0.05, or a number of images such as 5000."""
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a share nor a number") from None


if __name__ == "__main__":
    sys.exit(main())
