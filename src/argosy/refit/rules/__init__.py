'''The rules, one module or package each: `z304_socket_leaks.py` is Z304.

A rule that a refit fixes is a package: `z301_own_context` is Z301. `registry` finds both by themselves. A
rule's module, or its package's `__init__`, has
    a docstring   what is found; why it matters; what to do. docs/reference/rules is made of it
    RULE          a `Rule`: its code, its title, its action, and the functions that find
    MUST          cases (`RuleCase`) in which it finds exactly the lines that end in `# <--`
    MUST_NOT      cases in which it finds nothing
The package's module `codemod` has CODEMOD, a `Codemod`: which findings it fixes, when it is applied, and
`plan`, which returns the changes of one file, the sites that they migrate, and those that it refuses.
One test runs the cases of every rule; there is no list to add a rule to.

A rule has one or several of these functions, each returns an iterable of findings:
    check_file(file)    one Python file with its tree, names and lines (`PythonFile`)
    check_broken(file)  one Python file that does not parse (`BrokenFile`)
    check_text(file)    one other file that matches `file_patterns` (`TextFile`): YAML, Dockerfile, shell
    check_texts(files)  several such files at once; returns the findings of each. For slow external programs
    check_links(tree, path)  one file's facts against those of others (`SourceTree`)
    check_tree(tree)    the facts of all files. For counts, groups, cycles
The findings of the first four are cached with the content of the file. `check_links` and `check_tree` never
see a syntax tree: they read facts, small data collected once from each file, and run again only when a fact
has changed that is listed in `fact_kinds` (the file's own, for `check_links`) or `shared_fact_kinds` (of all
files). A new kind of facts is a `FactKind(name, type, collect)`, in the rule's own module or, when several
rules read it, in `argosy.refit.analysis.facts`; keep facts few. A fact has a line number in a field `line`,
or one that ends in `_line`; a finding is at such a line, and names a position in another file as `path:line`.
So after an edit that only shifts lines, findings are updated and no rule runs.

`required_words` saves time: `check_file` runs only on sources that contain one of these bytes. A name is
resolved with `file.origin(node, scope)`, which follows imports (`import zmq as z`,
`from zmq import Context as C`), never by its spelling.

    """A context of its own

    Each `zmq.Context()` has an I/O thread and sockets that `term()` waits for. ...

    Instead: `argosy.wire.context()`.
    """

    def check(file: PythonFile) -> Iterator[Finding]:
        for call, scope in file.nodes(ast.Call):
            origin = file.origin(call.func, scope)
            if origin is not None and origin.name == "zmq.Context":
                yield file.make_finding(call, "`zmq.Context()` is a context of its own", scope)

    RULE = Rule(
        code="Z301", title="own context", action="auto", required_words=(b"zmq",), check_file=check
    )
    MUST = (RuleCase("import zmq as z\\nz.Context()  # <--\\n"),)
    MUST_NOT = (RuleCase("import gevent_zmq as zmq\\nzmq.Context()\\n"),)

From outside: `b501_own_base_class`, `registry`.
'''
