// Copyright 2026 The vjepa2_planner_ros authors
// SPDX-License-Identifier: Apache-2.0
// What has to happen in the browser: the theme, pictures dropped or pasted, STOP by keyboard, signs of life.
(() => {
  const root = document.documentElement;
  const theme = (document.cookie.match(/(?:^|; )vjepa2_theme=(light|dark)/) || [])[1];
  if (!theme) {
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    setTheme(dark ? 'dark' : 'light');
    if (dark) location.reload();
  } else {
    root.dataset.theme = theme;
  }

  function setTheme(name) {
    document.cookie = `vjepa2_theme=${name}; path=/; max-age=31536000; samesite=strict`;
    root.dataset.theme = name;
  }

  async function upload(drop, files) {
    for (const file of drop.dataset.many ? files : [...files].slice(0, 1)) {
      let detail;
      try {
        const answer = await fetch('/api/pictures', { method: 'POST', body: file });
        detail = await answer.json();
      } catch (error) {
        detail = { text: `the console did not answer: ${error.message}` };
      }
      drop.dispatchEvent(new CustomEvent('picture', { detail: { ...detail, name: file.name || '' } }));
    }
  }

  const zone = (event) => event.target.closest && event.target.closest('.drop');
  let active = null;
  document.addEventListener('pointerover', (event) => { active = zone(event) || active; });
  document.addEventListener('focusin', (event) => { active = zone(event) || active; });
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    document.querySelectorAll('.drop.over').forEach((each) => each.classList.remove('over'));
    if (zone(event)) zone(event).classList.add('over');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();  // else the browser leaves the page and shows the file
    document.querySelectorAll('.drop.over').forEach((each) => each.classList.remove('over'));
    if (zone(event)) upload(zone(event), event.dataTransfer.files);
  });
  document.addEventListener('paste', (event) => {
    const files = event.clipboardData ? event.clipboardData.files : [];
    const drops = [...document.querySelectorAll('.drop')];
    const target = drops.includes(active) ? active : drops.find((each) => !each.classList.contains('filled'));
    if (files.length && target) upload(target, files);
  });
  document.addEventListener('change', (event) => {
    if (zone(event) && event.target.type === 'file') {
      upload(zone(event), [...event.target.files]).then(() => { event.target.value = ''; });
    }
  });

  // Directly, and not by way of the page: it works while the page is busy or reconnects.
  async function stop() {
    let text = '';
    try {
      const answer = await fetch('/api/stop', { method: 'POST', signal: AbortSignal.timeout(5000) });
      text = answer.ok ? '' : (await answer.json()).text;
    } catch (error) {
      text = `the console did not answer: ${error.message}`;
    }
    document.querySelectorAll('.stop-failed').forEach((each) => each.remove());
    if (!text) return;
    const note = document.createElement('div');
    note.className = 'stop-failed';
    note.setAttribute('role', 'alert');
    note.textContent = `STOP failed: ${text}. Use the emergency stop of the arm.`;
    document.body.append(note);
  }
  document.addEventListener('keydown', (event) => {
    const button = document.querySelector('.stop');
    if (event.key === 'Escape' && button && !button.disabled) stop();
  });
  document.addEventListener('click', (event) => {
    if (event.target.closest && event.target.closest('.stop:not([disabled])')) stop();
  });

  window.vjepa2 = { setTheme, stop };
})();
