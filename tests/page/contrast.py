"""How well a page's text stands out, by the rules of WCAG 2."""

from selenium import webdriver

# Every visible piece of text with its contrast to what is behind it, and how much it needs: 3 where large, else 4.5.
_TEXTS = """
const rgb = (text) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
};
const over = ([r, g, b, a], [r2, g2, b2]) => [r * a + r2 * (1 - a), g * a + g2 * (1 - a), b * a + b2 * (1 - a)];
const behind = (one) => {
  const layers = [];
  for (let at = one; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor));
  return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
};
const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const luminance = (color) => {
  const [r, g, b] = color.map((value) => linear(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const one = walker.currentNode.parentElement;
  const text = walker.currentNode.data.trim();
  const aside = one.closest("[disabled], .unseen, svg, option, .boxes");
  if (!text || aside || !one.checkVisibility({ visibilityProperty: true })) continue;
  const style = getComputedStyle(one);
  const ground = behind(one);
  const [high, low] = [luminance(over(rgb(style.color), ground)), luminance(ground)].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  texts.push({ text, ratio: (high + 0.05) / (low + 0.05), needed: large ? 3 : 4.5 });
}
return texts;
"""


def too_faint(browser: webdriver.Chrome) -> list[str]:
    """Every text that stands out less than it should, with its contrast."""
    texts = browser.execute_script(_TEXTS)
    assert len(texts) > 10, "the page shows text"
    return [f"{one['text']}: {one['ratio']:.2f}" for one in texts if one["ratio"] < one["needed"]]
