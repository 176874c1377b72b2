"""Templates render or are refused, with the line; none gets out of the sandbox or takes long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostler.hub import template_sandbox
from hostler.hub.template_filters import OUTPUT
from hostler.hub.template_sandbox import TemplateFaultError, render

VARIABLES = {
    "name": "pc-1", "keys": ["ssh-ed25519 A", "ssh-ed25519 B"], "table": {"disk": "/dev/sda", "items": 3},
    "none_known": None, "url": lambda word: f"http://rack/{word}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ name }}", "pc-1"),
        ("{% for k in keys %}\n{{ loop.index }} {{ k }}\n{% endfor %}", "1 ssh-ed25519 A\n2 ssh-ed25519 B\n"),
        ("{{ table.disk }} {{ table['disk'] }}", "/dev/sda /dev/sda"),
        ("{{ table.items }}", "3"),  # a key comes before a method of a table
        ("{{ table.nothing | default('x') }}", "x"),
        ("{{ none_known | default('x') }}", "x"),
        ("{{ 'yes' if table.nothing is defined else 'no' }}", "no"),
        ("{{ url('a') }}", "http://rack/a"),
        ("{{ keys | tojson }}", '["ssh-ed25519 A", "ssh-ed25519 B"]'),
        ("{{ (keys + ['c']) | unique | join(',') }}", "ssh-ed25519 A,ssh-ed25519 B,c"),
        ("{{ \"it's\" | quote }}", "'it'\"'\"'s'"),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ 'abc'[:2] ~ (1 + 2) }}", "ab3"),
        ("{{ 'é' | b64encode }}", "w6k="),
        ("{% set s = namespace(n=0) %}{% for k in keys %}{% set s.n = s.n + 1 %}{% endfor %}{{ s.n }}", "2"),
    ],
)  # fmt: skip
def test_what_installers_need_is_there(source, text):
    """Loops, tables, defaults, JSON, shell words and functions work as in Jinja."""
    assert render(source, VARIABLES) == text


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("a\n{{ nothing }}", 2, 'no variable "nothing"'),
        ("a\n\n{{ table.nothing }}", 3, 'no "nothing" here; there is disk, items'),
        ("{% if table.nothing %}{% endif %}", 1, "nothing"),
        ("{% for x in nothing %}{% endfor %}", 1, "nothing"),
        ("{{ keys }}", 1, "use a loop, join or tojson"),
        ("{{ none_known }}", 1, "not known"),
        ("{{ name ~ keys }}", 1, "use a loop, join or tojson"),
        ("{{ url }}", 1, "where text is needed"),
        ("a\n{{ name", 2, "unexpected end"),
        ("{% for %}", 1, "an expression"),
        ("a\nb\n{{ name | center(3) }}", 3, 'no filter "center"'),
        ("{{ name is callable }}", 1, 'no test "callable"'),
        ("{% include 'x' %}", 1, "include"),
        ("a\n{% macro f() %}{{ f() }}{% endmacro %}", 2, "macro"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("{{ url(1, 2) }}", 1, "argument"),
        ("(" * (template_sandbox.SOURCE + 1), None, "65536 is the most"),
        ("{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}", None, "nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_its_line(source, line, says):
    """What is not there is never rendered as nothing."""
    with pytest.raises(TemplateFaultError, match=says) as caught:
        render(source, VARIABLES)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ url.__globals__ }}",
        "{{ url.__code__ }}",
        "{{ keys.__class__.__base__.__subclasses__() }}",
        "{{ table.items.__self__ }}",
        "{{ namespace.__init__ }}",
        "{{ range.__self__ }}",
        "{% for k in keys %}{{ loop.__class__ }}{% endfor %}",
        "{% for k in keys %}{{ loop._iterable }}{% endfor %}",
        "{{ '{0.__class__}'.format(name) }}",
        "{{ '%s' % name }}",
        "{{ name.encode() }}",
        "{{ keys.append('x') }}",
        "{{ table.update({'a': 1}) }}",
        "{{ table.clear() }}",
        "{{ self }}",
        "{{ name | attr('__class__') }}",
        "{{ keys | map(attribute='__class__') | list }}",
    ],
)
def test_nothing_of_python_can_be_reached(source):
    """Neither classes nor functions' insides, nor what changes a value that others see."""
    before = repr(VARIABLES)
    with pytest.raises(TemplateFaultError):
        render(source, VARIABLES)
    assert repr(VARIABLES) == before


def test_what_is_refused_for_safety_is_told_in_words():
    """The message is about the template, not about what the sandbox is made of."""
    with pytest.raises(TemplateFaultError, match=r"attribute '__class__' of 'str' object is unsafe"):
        render("{{ name.__class__ }}", VARIABLES)


def grown(first: str, step: str, then: str) -> str:
    """Return a template that does a step 64 times, beginning with ``n.x`` as this."""
    return f"{{% set n = namespace(x={first}) %}}{{% for i in range(64) %}}{step}{{% endfor %}}{then}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for i in range(1000000000) if i < 0 %}x{% endfor %}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{{ range(1000000000) | list | length }}",
        "{{ range(1000000000) | join }}",
        "{{ range(1000000000) | sort }}",
        "{{ 'a' * 10000000000 }}",
        "{{ [1] * 10000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        grown("10", "{% set n.x = n.x * n.x %}", "{{ n.x }}"),
        grown("'ab'", "{% set n.x = n.x ~ n.x %}", ""),
        grown("'ab'", "{% set n.x = n.x + n.x %}", ""),
        grown("'ab'", "{% set n.x = n.x | replace('a', n.x) %}", ""),
        grown("'ab'", "{% set n.x = [n.x, n.x] | join(n.x) %}", ""),
        grown("[1]", "{% set n.x = [n.x, n.x] %}", "{{ n.x == n.x }}"),
        grown("[1]", "{% set n.x = [n.x, n.x] %}", "{{ n.x | tojson }}"),
        grown("[1]", "{% set n.x = n.x + n.x %}", ""),
        grown("'ab'", "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}", ""),
        "{{ name | indent(1000000000) }}",
        "{{ keys | tojson(indent=1000000000) }}",
        "{% for i in range(99999) %}{{ 'x' * 3 }}{% endfor %}",
        "{% for i in range(20000) %}" + "x" * 60 + "{{ i }}{% endfor %}",
        "{% set x %}{% for i in range(60000) %}" + "x" * 60000 + "{% endfor %}{% endset %}",
    ],
)
def test_what_would_never_end_is_refused(source):
    """Loops, doubled texts and lists, powers and widths run into a limit long before time or memory end."""
    with pytest.raises(TemplateFaultError):
        render(source, VARIABLES)


PIECES = st.sampled_from(
    ["name", "keys", "table", "loop", "range(3)", "range(99999999)", "namespace(a=1)", "url('x')", "'ab'",
     "7", "[1, keys]", "{'a': keys}", "none_known", "x"]
)  # fmt: skip
ENDS = st.sampled_from(
    ["", ".__class__", "['__class__']", ".items()", ".mro()", ".format(name)", " | list", " | tojson",
     " | join('-')", " | sort", " | length", " * 99999999", " + keys", " ~ name", " ** 99", " % 3", "[0]",
     "[:9]", ".a", " | replace('a', 'b')", " == keys", " in keys", " is defined", " | default(keys)", "()",
     "(keys)", " | indent(9)"]
)  # fmt: skip
EXPRESSIONS = st.builds(lambda piece, ends: piece + "".join(ends), PIECES, st.lists(ENDS, max_size=4))
PARTS = st.one_of(
    EXPRESSIONS.map(lambda e: f"{{{{ {e} }}}}"),
    EXPRESSIONS.map(lambda e: f"{{% set x = {e} %}}"),
    st.tuples(EXPRESSIONS, EXPRESSIONS).map(
        lambda two: (
            f"{{% for x in {two[0]} %}}{{% for y in range(5000) %}}{{{{ {two[1]} }}}}{{% endfor %}}"
            + "{% endfor %}"
        )
    ),
    EXPRESSIONS.map(lambda e: f"{{% if {e} %}}a{{% endif %}}"),
    st.text(max_size=20),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PARTS, max_size=5).map("".join))
def test_any_template_ends_in_text_or_a_fault(source):
    """Whatever is put together: nothing else is raised, nothing of Python is shown, nothing grows on."""
    before = repr(VARIABLES)
    try:
        text = render(source, VARIABLES)
    except TemplateFaultError:
        pass
    else:
        assert len(text) <= OUTPUT
        assert "<class" not in text
        assert "<built-in" not in text
        assert " at 0x" not in text
    assert repr(VARIABLES) == before
