"""The families beside the VAE, small enough to read at one sitting.

Each works on vectors ``[B, D]``, points of the plane or flattened black-and-white images. Where
there is a density there is ``log_prob(x) -> [B]``, where only a bound ``elbo(x) -> [B]``, in nats;
``sample(n) -> [n, D]``; and ``loss(x) -> [B]`` for a training loop. A GAN has a loop of its own.
"""

from course_lib.models.neighbours.autoregressive import Autoregressive
from course_lib.models.neighbours.dequantized import Dequantized
from course_lib.models.neighbours.diffusion import Diffusion
from course_lib.models.neighbours.energy import RBM
from course_lib.models.neighbours.flow import Flow
from course_lib.models.neighbours.gan import GAN, fit_gan

__all__ = ["GAN", "RBM", "Autoregressive", "Dequantized", "Diffusion", "Flow", "fit_gan"]
