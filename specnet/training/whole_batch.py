"""Operations inside a network that concern the whole batch, when a process has only some of its rows.

torch's own `SyncBatchNorm` needs CUDA, and nothing of torch's draws the same noise on any number of processes.

Legend: B rows of the global batch, n rows of this process, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from specnet.errors import ModelError


class WholeBatch(TorchFunctionMode):
    """While it is active, batch norm, dropout and random numbers like a tensor are those of the global batch.

    Random numbers are drawn for all B rows with the generator that all processes have seeded alike; each takes its own
    rows. Other random draws have no rows that could be told apart, so they are refused.

    Parameters
    ----------
    rows
        Rows of this process.
    batch
        Size B of the global batch.

    Raises
    ------
    ModelError
        When the network draws random numbers in another way.
    """

    def __init__(self, rows: slice, batch: int) -> None:
        super().__init__()
        self.rows, self.batch = rows, batch

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Replace a call."""
        kwargs = kwargs or {}
        if func is functional.batch_norm:
            return whole_batch_norm(*args, **kwargs)
        if func is functional.dropout:
            return self._dropout(*args, **kwargs)
        if func in (torch.rand_like, torch.randn_like):
            return func(self._template(args[0]), *args[1:], **kwargs)[self.rows]
        if func in UNSHARED:
            raise ModelError(
                f"{getattr(func, '__name__', func)} in a network cannot be shared by processes; "
                "use rand_like, randn_like or dropout"
            )
        return func(*args, **kwargs)

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return x
        kept = functional.dropout(self._template(x).fill_(1), p, training=True)[self.rows]
        return x.mul_(kept) if inplace else x * kept

    def _template(self, like: Tensor) -> Tensor:
        """Memory for all rows, laid out as one process would: numbers are drawn in the order of memory."""
        row = like.shape[1:]
        strides = (max(1, row.numel()), *like.stride()[1:])
        return torch.empty_strided((self.batch, *row), strides, dtype=like.dtype, device=like.device)


UNSHARED: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.rand,
        torch.randn,
        torch.randint,
        torch.randperm,
        torch.bernoulli,
        torch.normal,
        torch.multinomial,
        torch.randint_like,
        Tensor.bernoulli,
        Tensor.bernoulli_,
        Tensor.uniform_,
        Tensor.normal_,
        Tensor.exponential_,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.dropout3d,
    }
)


def whole_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise with the statistics of all processes' rows; as `torch.nn.functional.batch_norm` when not training."""
    if not training:
        return functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    normalised, mean, squares, count = _Normalise.apply(x, eps)  # type: ignore[no-untyped-call]
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((squares / (count - 1)).to(running_var.dtype), momentum)
    shape = (1, -1, *[1] * (x.dim() - 2))
    result: Tensor = normalised if weight is None else normalised * weight.view(shape)
    return result if bias is None else result + bias.view(shape)


class _Normalise(torch.autograd.Function):
    r"""Standardise channels with sums over all processes (Ioffe and Szegedy 2015, algorithm 1, and its gradient).

    Means and squared deviations of the processes are merged after Chan et al. 1983, eq. 2.1, which loses no digits to
    a large mean. The gradient's two sums are added up over processes as well:

    .. math:: dx = \sigma^{-1} (dy - \overline{dy} - \hat x\, \overline{dy\, \hat x})
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        exact = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        dims = [0, *range(2, x.dim())]
        shape = (1, -1, *[1] * (x.dim() - 2))
        own_mean = exact.mean(dims)
        own_squares = (exact - own_mean.view(shape)).square().sum(dims)
        own_count = exact.new_full((1,), x.numel() / x.shape[1])
        own = torch.cat([own_count, own_mean, own_squares])
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        table, channels = torch.stack(parts), len(own_mean)
        counts, means, squares = table[:, :1], table[:, 1 : channels + 1], table[:, channels + 1 :]
        count = counts.sum()
        mean = (counts * means).sum(dim=0) / count
        spread = squares.sum(dim=0) + (counts * (means - mean).square()).sum(dim=0)
        inverse = (spread / count + eps).rsqrt()
        normalised = (exact - mean.view(shape)) * inverse.view(shape)
        ctx.save_for_backward(normalised, inverse, count)
        ctx.mark_non_differentiable(mean, spread, count)
        return normalised.to(x.dtype), mean, spread, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        normalised, inverse, count = ctx.saved_tensors
        gradient = gradients[0].to(normalised.dtype)
        dims = [0, *range(2, gradient.dim())]
        shape = (1, -1, *[1] * (gradient.dim() - 2))
        sums = torch.cat([gradient.sum(dims), (gradient * normalised).sum(dims)])
        distributed.all_reduce(sums)
        first, second = (part.view(shape) / count for part in sums.chunk(2))
        result = (gradient - first - normalised * second) * inverse.view(shape)
        return result.to(gradients[0].dtype), None
