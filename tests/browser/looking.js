// What tests ask of the page; page.py runs a function of these in it.

const look = {
    seen: (where) => [...document.querySelectorAll(where)].filter((e) => e.checkVisibility()),

    text: (e) =>
        [...e.childNodes].map((n) => (n.nodeType === 3 ? n.data : n.nodeType === 1 ? look.text(n) : "")).join(""),

    texts: (where) => look.seen(where).map(look.text),

    /** Click on the first element there that can be seen and says these words. */
    clicked(where, words) {
        const found = look.seen(where).find((e) => !e.disabled && e.textContent.includes(words));
        if (found) found.click();
        return found !== undefined;
    },

    /** Class, text and contrast (WCAG 2.2, 1.4.3) of each text that can be seen. */
    contrasts() {
        const parts = (color) => color.match(/[\d.]+/g).map(Number);
        const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        const light = (color) =>
            color.slice(0, 3).reduce((sum, v, n) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][n], 0.05);
        const behind = (e) => {
            const color = parts(getComputedStyle(e).backgroundColor);
            return (color[3] ?? 1) > 0 ? color : behind(e.parentElement);
        };
        const says = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        const ratio = (a, b) => Math.max(a, b) / Math.min(a, b);
        return look
            .seen("body *")
            .filter((e) => says(e) && !e.closest(".unseen"))
            .map((e) => [
                e.className || e.tagName,
                e.textContent.slice(0, 40),
                ratio(light(parts(getComputedStyle(e).color)), light(behind(e))),
            ]);
    },

    /** How many blue pixels, those of its first line, a chart has at so many seconds before now. */
    blue(where, ago) {
        const canvas = document.querySelector(where);
        const x = Math.round(46 + (canvas.clientWidth - 56) * (1 - ago / 3600));
        const { data } = canvas.getContext("2d").getImageData(x, 10, 1, canvas.height - 34);
        let found = 0;
        for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] > 200 && data[at + 2] - data[at] > 60) found += 1;
        }
        return found;
    },

    /** Controls without a name for who does not see them. */
    nameless: () =>
        look
            .seen('button, input, select, a, [tabindex="0"]')
            .filter((e) => !(e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())).length,

    /** What a script of this page gets from there: the status, or the name of the error. */
    fetched: (url, how) =>
        fetch(url, how).then(
            (answer) => answer.status,
            (error) => error.name,
        ),
};
