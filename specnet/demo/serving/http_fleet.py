"""Many devices in one process that ask over HTTP, each with a connection of its own.

::

    python -m specnet.demo.serving.http_fleet minerals.specnet --url http://127.0.0.1:8000/predict --devices 200

The counterpart of `specnet.demo.serving.fleet` for servers that speak HTTP: each device sends its next request when it
has the answer to the last one. JSON lines on stdout: ``ready``, then the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from specnet.demo.serving.load_figures import LoadFigures
from specnet.demo.serving.samples import read_samples
from specnet.errors import ConfigurationError
from specnet.wire import pack_request

START_TIMEOUT_S = 120.0
REQUEST_TIMEOUT_S = 60.0
PAUSE_S = 0.5


class _Load:
    """Bodies of requests, and what is counted."""

    def __init__(self, bundle: Path, url: str, in_json: bool) -> None:
        self.url, self._json = url, in_json
        self._samples = read_samples(bundle)
        self._next = 0
        self.figures = LoadFigures()
        self.counting = self.ending = False

    def body(self) -> tuple[int, dict[str, Any]]:
        """Choose the next sample: its number, and the arguments to post it with."""
        self._next += 1
        number = self._next % len(self._samples)
        request = msgspec.structs.replace(self._samples[number], sequence=self._next)
        payload = pack_request(request)
        if self._json:
            return number, {"json": {"payload": base64.b64encode(payload).decode(), "split": request.split}}
        return number, {"data": payload, "headers": {"x-split": str(request.split)}}

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Ask once, and count the answer when it comes while there is counting."""
        number, arguments = self.body()
        began = time.perf_counter()
        async with session.post(self.url, **arguments) as response:
            if response.status != 200:
                self.figures.failed += self.counting
                await response.read()
                return
            answer = await response.json()
        if self.counting:
            took_ms = 1e3 * (time.perf_counter() - began)
            computed_ms = float(answer["compute_ms"])
            self.figures.add(number, int(answer["label"]), took_ms, took_ms - computed_ms, computed_ms)

    async def device(self, session: aiohttp.ClientSession) -> None:
        """Ask again and again."""
        while not self.ending:
            await self.ask(session)


async def _wait_for(load: _Load, session: aiohttp.ClientSession) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            await load.ask(session)
        except aiohttp.ClientError:
            await asyncio.sleep(PAUSE_S)
        else:
            return
    raise ConfigurationError(f"nobody answers at {load.url} within {START_TIMEOUT_S:g} s")


async def _run(args: argparse.Namespace) -> dict[str, Any]:
    load = _Load(args.bundle, args.url, args.json_body)
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await _wait_for(load, session)
        sys.stdout.write(json.dumps({"type": "ready"}) + "\n")
        sys.stdout.flush()
        devices = [asyncio.create_task(load.device(session)) for _ in range(args.devices)]
        await asyncio.sleep(args.warm_up)
        load.counting, began = True, time.perf_counter()
        await asyncio.sleep(args.seconds)
        load.counting, load.ending, seconds = False, True, time.perf_counter() - began
        await asyncio.gather(*devices, return_exceptions=True)
    return load.figures.to_dict(seconds)


def main() -> int:
    """Run the load generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--json-body", action="store_true", help="post JSON with the request in base64")
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--warm-up", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    figures = asyncio.run(_run(parser.parse_args()))
    sys.stdout.write(json.dumps({"type": "figures", **figures}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
