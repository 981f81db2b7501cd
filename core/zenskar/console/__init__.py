"""The console: the pages and actions of an operator, in a browser.

A page is a module in `console/pages`, a template in `console/templates`, and a line in
`console/site_map.py`:

- The module holds a function that reads the data from `ops`, and a `ConsolePage`: the path under
  `/console`, the template, and the name in the menu.
- The template extends `layout.html` and fills the block `content`. `parts.html` has the macros of
  times, ids, states, pages of lists and empty lists. All texts are escaped.
- A page with `live=True` is read again every few seconds while it is visible.

An action is an `Action` in the same module: a preview, which counts what the action changes, and
the function that runs the action. The preview needs no template. `Visit` has the request, the
operator, the reason that the operator has given, and the services. Links to an action open its
preview as a dialog if they have the attribute `data-dialog`.
"""
