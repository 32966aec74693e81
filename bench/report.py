"""One self-contained HTML page of a benchmark run: bars of the ratios to native."""
import html
import math
import statistics

COLOURS = {"sentry": "#2b6cb0", "sentry-ptrace": "#90cdf4", "bubblewrap": "#a0aec0",
           "runsc": "#c05621", "runc": "#718096"}
WIDTH, LEFT, BAR = 900, 190, 14


def ratios(by):
    native = statistics.median(by["native"]) if by.get("native") else 0
    return {n: statistics.median(v) / native for n, v in by.items() if n != "native" and v and native}


def bar(y, name, ratio, scale):
    w = max(2, min(1, math.log10(max(ratio, 0.1) * 10) / scale) * (WIDTH - LEFT - 90))
    return (f'<rect x="{LEFT}" y="{y}" width="{w:.1f}" height="{BAR - 3}" '
            f'fill="{COLOURS.get(name, "#555")}"><title>{html.escape(name)}</title></rect>'
            f'<text x="{LEFT + w + 6:.1f}" y="{y + BAR - 5}">{ratio:.2f}</text>')


def page(results, names, about):
    shown = [(b, ratios(by)) for b, by in results.items() if ratios(by)]
    top = max((r for _, by in shown for r in by.values()), default=1)
    scale = math.log10(max(top, 1.1) * 10)
    one = LEFT + 1 / scale * (WIDTH - LEFT - 90)
    parts, y = [], 10
    for bench, by in shown:
        parts.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">'
                     f'{html.escape(bench)}</text>')
        for name in names:
            if name in by:
                parts.append(bar(y, name, by[name], scale))
                y += BAR
        y += 8
    legend = " ".join(f'<span><i style="background:{COLOURS.get(n, "#555")}"></i>'
                      f'{html.escape(n)}</span>' for n in names if n != "native")
    return f"""<!doctype html><meta charset="utf-8"><title>sentry benchmarks</title>
<style>body{{font:14px sans-serif;max-width:{WIDTH}px;margin:2em auto;color:#222}}
svg text{{font:12px sans-serif}} i{{display:inline-block;width:1em;height:1em;margin:0 .4em 0 1em}}
</style><h1>Cost relative to native</h1><p>{html.escape(about)}</p>
<p>Median ratio to the native figure of the same run; the axis is logarithmic, the line is 1.{legend}</p>
<svg width="{WIDTH}" height="{y + 10}" role="img">
<line x1="{one:.1f}" x2="{one:.1f}" y1="0" y2="{y}" stroke="#e53e3e" stroke-dasharray="4 3"/>
{"".join(parts)}</svg>
"""
