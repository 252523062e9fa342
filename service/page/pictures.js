// The newest pictures beside mask, prediction and error.
import { at, keeper, make, moment, whole } from "./dom.js"
import { locked } from "./locked.js"

const SHOWN = 4
const show = keeper(at("pictures"), each => `${each.taken_at} ${each.partition} ${each.offset}`, card)
const showLegend = keeper(at("legend"), each => `${each.index} ${each.colour}`, entry)
let colours = null

export const classColours = () => colours

export const showPictures = locked("pictures", `v1/samples?limit=${SHOWN}`, answer => {
  const samples = answer?.samples ?? []
  colours = answer?.colours ?? colours
  showLegend(samples.length ? colours.slice(0, 12).map((colour, index) => ({ colour, index })) : [])
  show(samples)
  return samples.length ? "" : "No batch was scored yet."
})

function entry({ colour, index }) {
  const swatch = make("i", { className: "swatch" })
  swatch.style.background = colour
  return { element: make("li", {}, swatch, `class ${index}`) }
}

function card(sample) {
  const what = `partition ${sample.partition}, offset ${whole(sample.offset)}`
  const wrong = sample.wrong === null ? "nothing of it is known" : `${(100 * sample.wrong).toFixed(1)} % wrong`
  const parts = sample.mask === null
    ? [picture("picture", sample.image, what), word("label", sample.label), word("prediction", sample.predicted_label)]
    : ["image", "mask", "prediction", "error"].map(name => picture(name === "image" ? "picture" : name, sample[name], what))
  const text = `${what} · ${sample.mask === null ? (sample.wrong ? "wrong" : "right") : wrong} · step ${whole(sample.step)}, ${moment(sample.taken_at)}`
  return { element: make("article", { className: "card sample" }, make("div", {}, ...parts), make("p", { className: "soft small" }, text)) }
}

const picture = (name, url, what) =>
  make("figure", { className: name }, make("img", { src: url, alt: `${name} of ${what}` }), make("figcaption", {}, name))

const word = (name, value) => make("figure", {}, make("b", {}, `class ${value}`), make("figcaption", {}, name))
