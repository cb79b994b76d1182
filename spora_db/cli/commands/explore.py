"""``spora-db explore``: look at a lake in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from spora_db.cli.application import app
from spora_db.cli.arguments import Lake
from spora_db.errors import need


@app.command()
def explore(
    lake: Lake,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of this machine; 0: any that is free.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    write: Annotated[
        Path | None,
        typer.Option(help="A folder into which selections may be saved; without it the page only reads."),
    ] = None,
) -> None:
    """Look at a lake: ask in SQL or by clicking, see the tiles that answer, open any tissue, select.

    The page is for this machine and this user only: it listens at 127.0.0.1, and its address holds a token.

    Examples:  spora-db explore my-lake

    spora-db explore my-lake --port 8123 --no-browser --write selections
    """
    import webbrowser

    for module in ("starlette", "uvicorn"):
        need(module, extra="explore", what="spora-db explore", instead="Without it: spora-db sql LAKE.")
    from spora_db.explore.serving import PageServer
    from spora_db.files.writing import made_folder

    server = PageServer(lake, port=port, write=None if write is None else made_folder(write))

    def opened() -> None:
        typer.echo(server.address)
        typer.echo("Ctrl-C ends it.")
        if browser:
            webbrowser.open(server.address)

    server.run(before=opened)
