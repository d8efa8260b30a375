// Every visible text whose contrast to what lies under it is below 4.5:1 (WCAG 2.2, success criterion 1.4.3).
const parse = (css) => {
  const [r, g, b, a = 1] = css.match(/[\d.]+/g).map(Number);
  return { r, g, b, a };
};
const over = (top, under) => {
  const mix = (channel) => top[channel] * top.a + under[channel] * (1 - top.a);
  return { r: mix("r"), g: mix("g"), b: mix("b"), a: 1 };
};
const linear = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
const luminance = (c) => 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
const ground = (element) => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
};
const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
const poor = [];
for (const e of document.querySelectorAll("main *, header *")) {
  if (!e.checkVisibility() || !hasText(e)) continue;
  const style = getComputedStyle(e), drawn = e instanceof SVGElement;
  const under = ground(drawn ? e.closest("svg.plot, svg.axis, svg.basemap") : e);
  const ink = over(parse(drawn ? style.fill : style.color), under);
  const [brighter, darker] = [luminance(ink), luminance(under)].sort((x, y) => y - x);
  const ratio = (brighter + 0.05) / (darker + 0.05);
  if (ratio < 4.5) poor.push(`${e.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return poor;
