"""The list of commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from emotone.cli import (
    blind,
    chat,
    data,
    data_ememory,
    doctor,
    evaluate,
    export,
    generate,
    judge,
    models,
    perplexity,
    reply,
    report,
    score,
    serve,
    study,
    sweep,
    train,
    vectors,
    verify,
)

app = typer.Typer(
    name="emotone",
    help="Replies with a chosen emotion.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its boxes cut names in a narrow terminal, and break paragraphs
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from emotone import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Replies with a chosen emotion."""


@app.command("help")
def help_(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Such as data prepare.")
    ] = None,
) -> None:
    """Show the help of emotone, or that of a command."""
    from emotone.errors import unknown_name

    shown: Any = context.parent
    for name in names or ():
        commands = getattr(shown.command, "commands", {})
        if name not in commands:
            raise unknown_name("command", name, commands)
        shown = type(shown)(commands[name], parent=shown, info_name=name)
    typer.echo(shown.get_help())


app.command("reply")(reply.reply)
app.command("chat")(chat.chat)
app.command("generate")(generate.generate)
app.command("score")(score.score)
app.command("perplexity")(perplexity.perplexity)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)
app.command("verify")(verify.verify)
data.data_app.command("ememory")(data_ememory.ememory)
app.add_typer(data.data_app, name="data")
app.add_typer(blind.app, name="blind")
app.add_typer(judge.app, name="judge")
app.add_typer(study.app, name="study")
app.add_typer(models.app, name="models")
app.add_typer(vectors.app, name="vectors")
app.add_typer(evaluate.app, name="evaluate")
