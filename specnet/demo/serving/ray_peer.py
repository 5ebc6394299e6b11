"""The deep segments behind Ray Serve's dynamic batching: ``python -m specnet.demo.serving.ray_peer BUNDLE``."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

import ray
from ray import serve
from starlette.requests import Request

from gateway.work import Work
from specnet.demo.serving.finisher import Finisher

WAIT_S = 0.005


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})
class Finish:
    """Decode, compute, answer."""

    def __init__(self, bundle: str) -> None:
        self._finisher = Finisher(Path(bundle))

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=WAIT_S)  # type: ignore[untyped-decorator]
    async def _answer(self, works: list[Work]) -> list[dict[str, Any]]:
        return self._finisher.answer(works)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request, whose bytes are the body."""
        work = self._finisher.read(await request.body(), int(request.headers["x-split"]))
        answer: dict[str, Any] = await self._answer(work)
        return answer


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    ray.init(num_cpus=args.workers + 1, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": args.port})
    deployment = Finish.options(num_replicas=args.workers)  # type: ignore[attr-defined]
    serve.run(deployment.bind(args.bundle), route_prefix="/")
    threading.Event().wait()


if __name__ == "__main__":
    main()
