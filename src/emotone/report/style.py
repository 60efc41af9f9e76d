"""How the page looks: one style sheet, light and dark, screen, phone and paper."""

from __future__ import annotations

#: Colours of the runs, told apart by people who see few colours; lines have marks and dashes too.
_LIGHT = ("#2563c4", "#b8500a", "#0b7a6b", "#7a4bc9", "#b0307c", "#66700a")
_DARK = ("#78aefc", "#f0944d", "#46c2ad", "#b899f2", "#f07fb8", "#bcc64f")
_DASHES = ("none", "6 3", "2 3", "8 3 2 3", "4 2", "1 2")


def _runs(colours: tuple[str, ...]) -> str:
    return "".join(f"--c{i}:{colour};" for i, colour in enumerate(colours))


CSS = (
    f":root{{color-scheme:light dark;{_runs(_LIGHT)}"
    "--ink:#1c2024;--soft:#5b636c;--line:#dfe3e8;--page:#fff;--raised:#f6f8fa;--heat:37 99 196}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_runs(_DARK)}"
    "--ink:#e8eaed;--soft:#a3abb5;--line:#333a42;--page:#15181c;--raised:#1d2126;"
    "--heat:120 174 252}}"
    + "".join(
        f".f{i}{{fill:var(--c{i})}}.s{i}{{stroke:var(--c{i})}}.d{i}{{stroke-dasharray:{dash}}}"
        for i, dash in enumerate(_DASHES)
    )
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .35rem;letter-spacing:-.01em}
h2{font-size:1.2rem;margin:3rem 0 .35rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.6rem 0 .5rem}
p{margin:.3rem 0 .8rem;max-width:44rem}
.soft,figcaption,caption,.notes{color:var(--soft);font-size:.875rem}
nav{margin:1.1rem 0 0;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.9rem}
a{color:var(--c0);text-decoration-thickness:1px;text-underline-offset:.15em}
a:focus-visible,summary:focus-visible,.wide:focus-visible{outline:2px solid var(--c0);
outline-offset:2px}
.wide{overflow-x:auto;margin:.6rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;min-width:50%}
caption{text-align:left;padding:.2rem 0 .4rem}
th,td{padding:.32rem .75rem;text-align:right;border-bottom:1px solid var(--line);
vertical-align:top}
th:first-child,td:first-child{text-align:left;padding-left:0}
thead th{border-bottom:1.5px solid var(--soft);vertical-align:bottom;font-weight:600}
tbody th{font-weight:400}
tr.group th{font-weight:600;padding-top:.9rem;color:var(--soft);font-size:.8rem}
.ci{color:var(--soft);font-size:.85em;white-space:nowrap}
td .num{white-space:nowrap}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));
gap:1.4rem 2rem;margin:1rem 0}
.grid>*{min-width:0}
.broad{grid-template-columns:repeat(auto-fit,minmax(min(100%,34rem),1fr))}
figure{margin:0;break-inside:avoid}
figcaption{color:var(--ink);font-weight:600;margin:0 0 .2rem}
.chart{display:block;width:100%;max-width:34rem;height:auto}
.chart text{font:11px system-ui,sans-serif;fill:var(--ink)}
.chart .axis{fill:var(--soft);font-size:10px}
.mid{text-anchor:middle}.end{text-anchor:end}
.chart .value{font-variant-numeric:tabular-nums}
.rule{stroke:var(--line);stroke-width:1}
.whisker{stroke:var(--ink);stroke-width:1.1}
.curve{fill:none;stroke-width:2}
.band{opacity:.15}
.mark{stroke:var(--page);stroke-width:1}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.3rem;margin:.6rem 0;padding:0;
font-size:.875rem}
.key{width:28px;height:14px;vertical-align:-2px;margin-right:.35rem}
.heat td{text-align:center;padding:.3rem .45rem;border:1px solid var(--page);min-width:3rem;
background:rgb(var(--heat)/calc(var(--a)*.55))}
.heat td.hit{outline:1.5px solid var(--ink);outline-offset:-2.5px}
.heat td.nil{color:var(--soft)}
.heat small{color:var(--soft);display:block;font-size:.75em}
.talk{width:100%;min-width:34rem}
.talk td,.talk th{text-align:left}
.talk .text{overflow-wrap:anywhere;white-space:pre-wrap;width:70%}
.talk tr.post th{background:var(--raised);font-weight:400;padding:.5rem .75rem;
white-space:pre-wrap;overflow-wrap:anywhere}
.talk tr.post b{color:var(--soft);font-weight:600;font-size:.8rem;margin-right:.6rem}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:6px;padding:.45rem .8rem}
summary{cursor:pointer;font-weight:600;font-size:.9rem}
pre{overflow-x:auto;font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
white-space:pre-wrap;overflow-wrap:anywhere}
code{font:.82em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.signatures td,.signatures th{text-align:left}
.warn{border-left:3px solid var(--c1);padding-left:.7rem}
@media(max-width:34rem){main{padding:1.4rem .9rem 3rem}h1{font-size:1.4rem}
.chart text{font-size:12.5px}.chart .axis{font-size:12px}th,td{padding:.3rem .5rem}}
@media print{:root{color-scheme:light}body{font-size:10pt}main{max-width:none;padding:0}
nav{display:none}h2{break-after:avoid}tr{break-inside:avoid}.wide{overflow:visible}
.heat td,.chart,.key,.talk tr.post th{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
)
