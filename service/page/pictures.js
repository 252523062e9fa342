// The newest pictures beside mask, prediction and error.
import { at, make, moment, soft, whole } from "./dom.js"
import { call, TokenNeeded } from "./server.js"

const SHOWN = 4
let colours = null

export const classColours = () => colours

export async function showPictures(ask = false) {
  try {
    const answer = await call("GET", `v1/samples?limit=${SHOWN}`, undefined, { ask })
    colours = answer.colours
    at("legend").replaceChildren(...colours.slice(0, 12).map(entry))
    if (answer.samples.length) at("pictures").replaceChildren(...answer.samples.map(card))
    else at("pictures").replaceChildren(soft("No batch was scored yet."))
  } catch (error) {
    const unlock = make("button", { type: "button", onclick: () => showPictures(true) }, "Show them")
    at("legend").replaceChildren()
    at("pictures").replaceChildren(soft(error.message), ...(error instanceof TokenNeeded ? [unlock] : []))
  }
}

function entry(colour, index) {
  const swatch = make("i", { className: "swatch" })
  swatch.style.background = colour
  return make("li", {}, swatch, `class ${index}`)
}

function card(sample) {
  const what = `partition ${sample.partition}, offset ${whole(sample.offset)}`
  const wrong = sample.wrong === null ? "nothing of it is known" : `${(100 * sample.wrong).toFixed(1)} % wrong`
  const parts = sample.mask === null
    ? [picture("picture", sample.image, what), word("label", sample.label), word("prediction", sample.predicted_label)]
    : ["image", "mask", "prediction", "error"].map(name => picture(name === "image" ? "picture" : name, sample[name], what))
  return make("article", { className: "card sample" },
    make("div", {}, ...parts),
    make("p", { className: "soft small" }, `${what} · ${sample.mask === null ? (sample.wrong ? "wrong" : "right") : wrong} · step ${whole(sample.step)}, ${moment(sample.taken_at)}`))
}

const picture = (name, url, what) =>
  make("figure", { className: name }, make("img", { src: url, alt: `${name} of ${what}` }), make("figcaption", {}, name))

const word = (name, value) => make("figure", {}, make("b", {}, `class ${value}`), make("figcaption", {}, name))
