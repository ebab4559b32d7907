// The floor plan as SVG, in map units.

const NAMESPACE = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes))
    node.setAttribute(key, value);
  return node;
}

export function clear(node) {
  node.replaceChildren();
}

// The size of the map; if the file has none, the extent of all views and people plus a metre.
export function extentOf(map, people = [], marks = []) {
  if (map.width > 0 && map.height > 0)
    return {x: 0, y: 0, width: map.width, height: map.height};
  const points = [...map.cameras.flatMap(({view}) => view ?? []),
                  ...people.map(({x, y}) => [x, y]), ...marks];
  const margin = map.units_per_m;
  if (!points.length)
    return {x: 0, y: 0, width: 20 * margin, height: 12 * margin};
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const x = Math.min(...xs) - margin, y = Math.min(...ys) - margin;
  return {x, y, width: Math.max(...xs) + margin - x, height: Math.max(...ys) + margin - y};
}

// Grid, floor plan and fields of view, with camera names where `labels` finds space.
export function drawGround(plan, map, extent, {image = null, labels = null} = {}) {
  const step = map.units_per_m * (extent.width / map.units_per_m > 100 ? 10 : 1);
  const lines = [];
  plan.setAttribute("viewBox", `${extent.x} ${extent.y} ${extent.width} ${extent.height}`);
  if (image)
    plan.append(svg("image", {href: image, x: extent.x, y: extent.y, width: extent.width,
                              height: extent.height, preserveAspectRatio: "none"}));
  for (let x = Math.ceil(extent.x / step) * step; x <= extent.x + extent.width; x += step)
    lines.push(`M${x} ${extent.y}v${extent.height}`);
  for (let y = Math.ceil(extent.y / step) * step; y <= extent.y + extent.height; y += step)
    lines.push(`M${extent.x} ${y}h${extent.width}`);
  plan.append(svg("path", {class: "grid-line", d: lines.join(""), fill: "none"}));
  const cameras = map.cameras.filter(({view}) => view?.length);
  for (const {view} of cameras)
    plan.append(svg("polygon", {class: "view", points: view.join(" ")}));
  for (const {camera, view} of labels ? cameras : []) {
    const {width, height} = labels.size(camera);
    const places = view.map(([x, y]) => [x - width / 2, y - height / 2]);
    const box = labels.place(camera, places);
    const name = svg("text", {class: "view-name", x: box.x + width / 2, y: box.y + height / 2,
                              "font-size": labels.text, "text-anchor": "middle",
                              "dominant-baseline": "central"});
    name.textContent = camera;
    plan.append(name);
  }
}
