"""Render equations as MathML, which browsers draw themselves: nothing is loaded from the network, no script runs."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

# A function and its argument, if that is not in parentheses.
APPLICATION = re.compile(r"(<mo>&ApplyFunction;</mo>)(?!\s*<mo[^>]*>\()")


def mathml(tex, *, as_block):
    """Return an equation as MathML, with a thin space between a function and its argument."""
    return APPLICATION.sub(r'\1<mspace width="0.17em"/>', tex2mathml(tex, as_block=as_block))


def render_inline(translator, node):
    """Write an equation within a line."""
    translator.body.append(mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def render_block(translator, node):
    """Write an equation on lines of its own."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    translator.body.append(mathml(node.astext(), as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register the renderer under the name "mathml"."""
    app.add_html_math_renderer("mathml", inline_renderers=(render_inline, None), block_renderers=(render_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
