// Elements, and numbers and times as people read them. Text is only ever set as text, never as markup.

export const at = id => document.getElementById(id)

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && !name.includes("-")) element[name] = value
    else element.setAttribute(name, value)
  }
  element.append(...children)
  return element
}

// Nothing is touched that stays as it is: what a person has selected, or a screen reader is reading.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

// Keeps one child of `parent` for each item, as long as its key is there: focus, and what was opened in it, stay.
// build: makes an item's { element, update }, and update(item) shows what may have changed.
export function keeper(parent, key, build) {
  const rows = new Map()
  return items => {
    const keys = new Set(items.map(key))
    for (const [name, { element }] of rows) {
      if (keys.has(name)) continue
      element.remove()
      rows.delete(name)
    }
    let next = parent.firstElementChild
    for (const item of items) {
      const name = key(item)
      if (!rows.has(name)) rows.set(name, build(item))
      const { element, update } = rows.get(name)
      if (element === next) next = next.nextElementSibling
      else parent.insertBefore(element, next)
      update?.(item)
    }
  }
}

// Text with `code` in it.
export const marked = text => text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part))

const unknown = value => value === null || value === undefined || Number.isNaN(value)

export const whole = value => (unknown(value) ? "–" : Math.round(value).toLocaleString("en"))

export const plural = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`

export function short(value) {
  if (unknown(value)) return "–"
  const size = Math.abs(value)
  if (size >= 1e5) return value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 })
  if (size >= 100 || value === 0) return whole(value)
  return value.toLocaleString("en", { maximumSignificantDigits: size >= 10 ? 3 : 2 })
}

export const share = value => (unknown(value) ? "–" : value.toFixed(3))

export function seconds(value) {
  if (unknown(value)) return "–"
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (value >= 2 * size) return `${(value / size).toFixed(value >= 10 * size ? 0 : 1)} ${unit}`
  }
  return `${value.toFixed(value >= 10 ? 0 : 1)} s`
}

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let at = 0
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1]
  return `${value.toFixed(at && value < 100 ? 1 : 0)} ${units[at]}`
}

const clock = when => new Date(when).toLocaleTimeString("en-GB")

export function moment(when) {
  const date = new Date(when)
  const today = date.toDateString() === new Date().toDateString()
  return today ? clock(date) : date.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })
}
