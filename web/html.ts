import htm from 'htm';
import { type ComponentChild, h, type VNode } from 'preact';

/**
 * Markup as a tagged template. Components are called with `h(Component, props)` inside it, because only there does the
 * compiler check their properties.
 */
export const html = htm.bind<VNode>(h) as (strings: TemplateStringsArray, ...values: unknown[]) => VNode;

export { type ComponentChild, h, type VNode };
