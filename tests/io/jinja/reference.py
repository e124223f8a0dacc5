"""Chat templates rendered by Jinja2 in the settings of `transformers`: the oracle of these tests."""
import copy
import datetime
import json

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment


class GenerationBlocks(Extension):
    """{% generation %} ... {% endgeneration %}: as `transformers` parses it; its place is not recorded here."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("support"), [], [], body).set_lineno(line)

    def support(self, caller):
        return caller()


def environment(date):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form):
        if not date:
            raise jinja2.exceptions.TemplateError("no date is given")
        return datetime.datetime.strptime(date, "%Y-%m-%d").strftime(form)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


def render(source, variables, date=""):
    """{"text": ...} or {"error": ...}: what raise_exception says, else nothing, since the words are Python's own."""
    try:
        return {"text": environment(date).from_string(source).render(**copy.deepcopy(variables))}
    except Exception as problem:  # whatever a template can raise
        return {"error": str(problem) if type(problem) is jinja2.exceptions.TemplateError else ""}
