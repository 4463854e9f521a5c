"""An own base class of agents, or own functions that look services up (B502)

A fleet that has grown by hand has one class that owns context, sockets, health and the loop of its agents,
and a module that looks agents up in a registry. Only a refit reports them: where argosy's version has every
member that the tree uses, it replaces the definition by an import of that.

Instead: `argosy.agent.compat`.

From outside: `codemod`.
"""
