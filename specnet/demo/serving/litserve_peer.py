"""The deep segments behind LitServe's dynamic batching: ``python -m specnet.demo.serving.litserve_peer BUNDLE``.

JSON is what LitServe speaks; the request's bytes travel in base64. Annotations are not postponed here, because LitServe
looks at that of `FinishApi.decode_request`: `Request` there stands for the document that it has made of the body.
"""

import argparse
import base64
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request

from gateway.work import Work
from specnet.demo.serving.finisher import Finisher


class FinishApi(litserve.LitAPI):  # type: ignore[misc]
    """Decode, compute, answer."""

    bundle = ""

    def setup(self, device: str) -> None:
        """Load the bundle in the worker."""
        self._finisher = Finisher(Path(self.bundle))

    def decode_request(self, request: Request) -> Work:
        """Read one request."""
        document: Any = request
        return self._finisher.read(base64.b64decode(document["payload"]), int(document["split"]))

    def batch(self, inputs: list[Work]) -> list[Work]:
        """Leave it to the finisher to put arrays together."""
        return inputs

    def predict(self, inputs: list[Work]) -> list[dict[str, Any]]:
        """Compute a batch."""
        return self._finisher.answer(inputs)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer each."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Give it as it is."""
        return output


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    # a little waiting, or LitServe's batches have one request each
    api = FinishApi(max_batch_size=args.max_batch, batch_timeout=0.005)
    api.bundle = args.bundle
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=args.workers, timeout=60)
    server.run(host="127.0.0.1", port=args.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
