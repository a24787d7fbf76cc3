"""The folder of a saved model: `generator.json` with hashes of itself and of `weights.npz`."""

from __future__ import annotations

import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ehrsatz.errors import ModelError

MODEL_FORMAT = 1


def read_head(folder: str | Path) -> dict[str, Any]:
    """Read and check `generator.json` of a saved model, without its arrays.

    Raises
    ------
    ModelError
        When a file is absent, altered or written by a newer version.
    """
    path = Path(folder) / "generator.json"
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        has_weights = (Path(folder) / "weights.npz").is_file()
    except FileNotFoundError:
        raise ModelError(
            "Expected a model folder with generator.json and weights.npz.",
            "generator.json is absent.",
            "Name the folder that fit wrote.",
        ) from None
    except (OSError, ValueError, RecursionError):
        raise ModelError(
            "Expected generator.json as it was saved.", "It cannot be read.", "Fit again, or restore the folder."
        ) from None
    if not has_weights:
        raise ModelError(
            "Expected a model folder with generator.json and weights.npz.",
            "weights.npz is absent.",
            "Fit again, or restore the folder.",
        )
    written = head.get("format") if isinstance(head, dict) else None
    if not isinstance(written, int):
        raise ModelError(
            "Expected generator.json as it was saved.", "It names no format.", "Fit again, or restore the folder."
        )
    if written > MODEL_FORMAT:
        raise ModelError(
            f"Expected a model of format {MODEL_FORMAT} or older.",
            "It was written by a newer ehrsatz.",
            "Upgrade with: pip install -U ehrsatz",
        )
    claimed = head.pop("sha256", None)
    if claimed != digest(head) or not all(isinstance(head.get(key), str) for key in ("name", "weights_sha256")):
        raise ModelError(
            "Expected generator.json as it was saved.",
            "Its content differs from its own hash.",
            "Fit again, or restore the folder.",
        )
    return head


def digest(head: dict[str, Any]) -> str:
    """Return the hash of a head, over its JSON without spaces."""
    return sha256(json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Write arrays as npz with fixed order and time stamps, so that equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue(), zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()
