'''The rules of the audit, one a file: `z301_own_context.py` holds Z301.

A rule's module has
    a docstring   what is found; why it matters; what to do. `docs/audit.md` is generated from it
    RULE          a `Rule`: its code, its title, its action, and the functions that find
    MUST          cases (`Case`) in which it finds exactly the lines that end in `# <--`
    MUST_NOT      cases in which it finds nothing
One test runs the cases of every rule found here; there is no list to enter a rule in.

A rule has one or several of these functions, each returns an iterable of findings:
    file(file)      one Python file with its tree, names and lines (`PythonFile`). For what a file tells alone
    broken(file)    one Python file that does not parse (`BrokenFile`)
    text(file)      one other file whose name fits `names` (`TextFile`): YAML, Dockerfile, shell
    texts(files)    several such files, in one go, and returns what it finds in each; for what asks a program
    link(tree, path)  one file's facts in the light of the others'. For what holds between files
    tree(tree)      the facts of all files (`Tree`). For counts, groups, cycles
The findings of the first four are kept with the content of the file. `link` and `tree` never see a syntax
tree: they read facts, small data that each file yields once, and are asked again only when a fact that they
named in `needs` (one's own, for `link`) or `sees` (of all files) has changed. A new kind of facts is a
`FactKind(name, type, collect)`, in the rule's own file or, when several rules read it, in
`argosy.refit.analysis.facts`; keep facts few. A fact tells a line in a field `line`, or one that ends in `_line`; a
finding stands at such a line, and names a place of another file as `path:line`. So after an edit that moves
lines and nothing else, what was found moves along, and no rule is asked.

`words` spares time: the rule is asked only about sources that hold one of these bytes. A name is resolved
with `file.origin(node, scope)`, which follows imports (`import zmq as z`, `from zmq import Context as C`),
never by how it is spelled here.

    """A context of its own

    Each `zmq.Context()` has an I/O thread and sockets that `term()` waits for. ...

    Instead: `argosy.wire.context()`.
    """

    def check(file: PythonFile) -> Iterator[Finding]:
        for call, scope in file.nodes(ast.Call):
            origin = file.origin(call.func, scope)
            if origin is not None and origin.name == "zmq.Context":
                yield file.finding(call, "`zmq.Context()` is a context of its own", scope)

    RULE = Rule(code="Z301", title="own context", action="auto", words=(b"zmq",), file=check)
    MUST = (Case("import zmq as z\\nz.Context()  # <--\\n"),)
    MUST_NOT = (Case("import gevent_zmq as zmq\\nzmq.Context()\\n"),)
'''
