"""The options by which a command proves who calls, and what they make."""

from __future__ import annotations

from typing import Annotated

import typer
from rewardplane.client.endpoint import Credentials

Token = Annotated[
    str | None, typer.Option(envvar="REWARDPLANE_TOKEN_FILE", help="A file with the token.")
]
Authorities = Annotated[
    str | None,
    typer.Option(envvar="REWARDPLANE_CA_FILE", help="Whose certificates the service may have."),
]
Certificate = Annotated[
    str | None,
    typer.Option(envvar="REWARDPLANE_CERTIFICATE_FILE", help="One's own, for mutual TLS."),
]
Key = Annotated[str | None, typer.Option(envvar="REWARDPLANE_KEY_FILE", help="Its private key.")]
Tls = Annotated[
    bool | None,
    typer.Option("--tls/--no-tls", help="TLS; the default where any of the files is given."),
]


def credentials_of(
    token_file: str | None,
    ca_file: str | None,
    certificate_file: str | None,
    key_file: str | None,
    tls: bool | None,
) -> Credentials | None:
    """What a client is given; None: nothing is proven.

    Raises:
        BadParameter: the options do not fit together.
        OSError: a file cannot be read.
    """
    try:
        return Credentials.from_files(
            token_file=token_file,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
            tls=tls,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
