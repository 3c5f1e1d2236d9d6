"""``cyhot cache``: what the store holds, and emptying it."""

from __future__ import annotations

import json

import click

from ..building.evict import clean, usage
from ..hook import current_session
from .base import Command, json_option


def _limit() -> int:
    return int(str(current_session().process_settings()["cache_size"]))


def _told(bytes_: int) -> str:
    return f"{bytes_ / 2**20:.1f} MB"


@click.group("cache")
def cache() -> None:
    """Show or empty the store of images."""


@cache.command("info", cls=Command)
@json_option
def info(as_json: bool) -> None:
    """Show where the store is and how much it holds.

    Example: cyhot cache info --json
    """
    found = usage(current_session().default_store(), _limit())
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        click.echo(
            f"{found.path}: {found.images} images, {_told(found.bytes)} "
            f"of at most {_told(found.limit)}"
        )


@cache.command("clean", cls=Command)
@json_option
def empty(as_json: bool) -> None:
    """Remove all images; they are built again when they are needed.

    Example: cyhot cache clean
    """
    removed = clean(current_session().default_store())
    if as_json:
        click.echo(json.dumps({"path": removed.path, "images": removed.images}))
    else:
        click.echo(f"{removed.path}: {removed.images} images removed")


@cache.command("path", cls=Command)
def path() -> None:
    """Print the store's folder.

    Example: cyhot cache path
    """
    click.echo(current_session().default_store().root)
