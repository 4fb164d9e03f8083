"""Trained models that come with the library: `elbolab.pretrained("name")`.

A model is two files in `checkpoints/`: NAME.safetensors, its weights in half precision, and
NAME.json, its card: how it was trained (command, seed, data, hardware, date), what was measured on
it, its architecture, and the SHA-256 of the weights. Safetensors hold numbers and no code.
"""

import difflib
import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from .models import VariationalAutoencoder

__all__ = ["available", "card", "pretrained", "save"]

FOLDER = Path(__file__).parent / "checkpoints"


def available() -> list[str]:
    """The names that `pretrained` knows."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def card(name: str) -> dict:
    """What is known about a trained model: command, seed, data, hardware, metrics, date, sha256, architecture.

    Raises:
        ValueError: no model has this name; the message has the names that come close.
    """
    if name not in available():
        near = difflib.get_close_matches(name, available(), n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"pretrained: no model has the name {name!r}.{hint} There are: {', '.join(available()) or 'none'}.")
    return json.loads((FOLDER / f"{name}.json").read_text())


def pretrained(name: str, device: str | torch.device | None = None) -> VariationalAutoencoder:
    """A trained model, in float32 and in evaluation mode, on the CPU or the given device.

    Raises:
        ValueError: unknown name, or weights that are not those that the card was written for.
        FileNotFoundError: the weights are not where they should be; the message says what to do.
    """
    about, path = card(name), FOLDER / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"pretrained: the weights of {name!r} are missing, {path}. {_how_to_get_back(name, about)}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != about["sha256"]:
        raise ValueError(
            f"pretrained: {path} is damaged or another file: its SHA-256 begins with {found[:12]}, "
            f"its card says {about['sha256'][:12]}. {_how_to_get_back(name, about)}"
        )
    from safetensors.torch import load

    shape = dict(about["architecture"])
    with torch.device("meta"):  # no memory and, above all, no random numbers for weights that are replaced at once
        model = VariationalAutoencoder(**{**shape, "activation": getattr(nn, shape["activation"])})
    model.load_state_dict({key: value.float() for key, value in load(content).items()}, assign=True)
    return model.to(device).eval()


def save(name: str, model: VariationalAutoencoder, about: dict, folder: Path = FOLDER) -> dict:
    """Write a model's weights and card into folder; returns the card.

    The weights are rounded to half precision, in the model, too, so that it is what ships. `about` is
    what the card shall say beside sha256 and architecture.
    """
    from safetensors.torch import save as to_bytes

    weights = {key: value.detach().half().cpu().contiguous() for key, value in model.state_dict().items()}
    model.load_state_dict(weights)
    content = to_bytes(weights)
    about = {**about, "sha256": hashlib.sha256(content).hexdigest(), "architecture": architecture(model)}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(content)
    (folder / f"{name}.json").write_text(json.dumps(about, indent=2) + "\n")
    return about


def architecture(model: VariationalAutoencoder) -> dict:
    """The arguments that build this model anew, read off its layers."""
    widths = [layer.out_features for layer in model.encoder if isinstance(layer, nn.Linear)]
    activations = [type(layer).__name__ for layer in model.encoder if not isinstance(layer, nn.Linear)]
    return {
        "input_shape": list(model.input_shape),
        "latent_features": model.latent_features,
        "hidden": widths[:-1],
        "activation": activations[0] if activations else "ReLU",
    }


def _how_to_get_back(name: str, about: dict) -> str:
    return (
        f"It comes with the library: install that again (pip install -e . in the course's folder), or get the file back "
        f"with `git checkout -- lib/elbolab/checkpoints`, or train the model anew: {about.get('command', 'see its card')}"
    )
