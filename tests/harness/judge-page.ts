// What no page for people may have: a serious finding of axe, or something that has to be scrolled sideways.
import assert from 'node:assert/strict';
import axe from 'axe-core';
import type { Page } from 'playwright-core';

declare global {
  interface Window {
    readonly axe: typeof axe;
  }
}

/** @param where Said in front of a finding. */
export async function judgePage(page: Page, where: string): Promise<void> {
  assert.equal(page.frames().length, 1, `${where}: axe is put into the page alone, and would not look into a frame`);
  // It is half a megabyte of script; a page that is judged in two looks reads it once.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source);
  const findings = await page.evaluate(async () => {
    // Only of violations every element is described, which takes longest, and of them only what is said below.
    const { violations } = await window.axe.run({ resultTypes: ['violations'], selectors: false });
    return violations.map(({ id, impact, nodes }) => ({
      id,
      impact,
      nodes: nodes.map(({ html }) => html.slice(0, 160)),
    }));
  });
  const serious = findings.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(
    serious.map(({ id, nodes }) => `${where}: ${id}: ${nodes.join(' | ')}`),
    [],
  );
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${where}: ${overflow} px too wide`);
}
