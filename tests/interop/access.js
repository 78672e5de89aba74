(() => {
  const wrong = [];
  const all = (query) => [...document.querySelectorAll(query)];
  if (all("h1").length !== 1) wrong.push("not one h1");
  if (all("main").length !== 1 || all("nav[aria-label]").length < 1) wrong.push("no landmarks");
  if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
  if (document.querySelector("a.skip")?.getAttribute("href") !== "#main") wrong.push("no skip link");
  for (const table of all("table")) if (!table.caption?.textContent.trim()) wrong.push("no caption: " + table.id);
  for (const head of all("th")) if (!head.scope) wrong.push("no scope: " + head.textContent);
  for (const field of all("input:not([type=hidden]), select, textarea")) if (!field.labels?.length) wrong.push("no label: " + field.name);
  for (const link of all("a[href], button")) if (!link.textContent.trim()) wrong.push("nameless: " + link.outerHTML.slice(0, 80));
  for (const picture of all("svg[role=img]")) if (!picture.getAttribute("aria-label")) wrong.push("picture without words");
  for (const id of all("[id]").map((one) => one.id).filter((id, at, ids) => ids.indexOf(id) !== at)) wrong.push("twice: " + id);
  for (const one of all("[aria-labelledby]")) if (!document.getElementById(one.getAttribute("aria-labelledby"))) wrong.push("label is missing: " + one.id);
  let level = 0;
  for (const head of all("h1, h2, h3, h4")) {
    const own = Number(head.tagName[1]);
    if (own > level + 2) wrong.push("level skipped: " + head.textContent);
    level = own;
  }
  const room = document.documentElement;
  if (room.scrollWidth > room.clientWidth) wrong.push(`wider than its window: ${room.scrollWidth}`);
  return wrong;
})()
