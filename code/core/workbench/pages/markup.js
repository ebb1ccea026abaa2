/** The one way to write elements: text stays text, whatever it holds. */
import htm from "./vendor/htm.mjs";
import { Component, createRef, h, render } from "./vendor/preact.mjs";

export const html = htm.bind(h);
export { Component, createRef, render };

/** 12,568; browsers take milliseconds to load their own formats. */
export const thousands = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
