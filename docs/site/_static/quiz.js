// Quizzes and predictions in the page: no kernel, and nothing is sent anywhere.
//
// Without this script a quiz is a list that opens and closes, and a prediction is its question.
(function () {
  "use strict";

  const make = (tag, classes, html) => {
    const element = document.createElement(tag);
    if (classes) element.className = classes;
    if (html !== undefined) element.innerHTML = html; // from the course's own files
    return element;
  };
  // Before MathJax has started it finds the formulas itself; afterwards it has to be asked.
  const typeset = (element) => window.MathJax?.typesetPromise?.([element]);

  // --- quizzes -------------------------------------------------------------------------------

  function question(data, number, score) {
    const set = make("fieldset");
    set.append(make("legend", "", `<strong>${number}.</strong> ${data.question}`));
    const answer = make("div", "course-answer");
    answer.setAttribute("role", "status"); // read aloud when it changes
    let tries = 0;
    data.options.forEach((option, i) => {
      const letter = String.fromCharCode(65 + i);
      const button = make("button", "course-option", `<span>${letter}.</span><span>${option.text}</span>`);
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        for (const other of set.querySelectorAll(".course-option")) other.setAttribute("aria-pressed", "false");
        const kind = option.correct ? "right" : "wrong";
        button.setAttribute("aria-pressed", "true");
        button.classList.add(kind);
        const verdict = option.correct ? "Right." : "Not right.";
        answer.className = `course-answer ${kind}`;
        answer.innerHTML = `<strong>${letter}. ${verdict}</strong> ${option.feedback}`;
        button.after(answer);
        typeset(answer);
        tries += 1;
        if (tries === 1) score(option.correct);
      });
      set.append(button);
    });
    set.append(answer);
    return set;
  }

  function quiz(place) {
    const source = place.querySelector('script[type="application/json"]');
    const questions = JSON.parse(source.textContent);
    const link = [...place.children].filter((child) => child.querySelector("a")).pop();
    const total = make("p");
    total.setAttribute("role", "status");
    let done = 0;
    let right = 0;
    const score = (correct) => {
      done += 1;
      right += correct ? 1 : 0;
      if (done === questions.length) total.textContent = `${right} of ${done} right at the first try.`;
    };
    const intro = make("p", "", "<strong>Three questions.</strong> Choose an answer to see whether it is right, and why.");
    const sets = questions.map((data, i) => question(data, i + 1, score));
    place.replaceChildren(intro, ...sets, total, ...(link ? [link] : []));
    typeset(place);
  }

  // --- predictions ---------------------------------------------------------------------------

  const KEY = "course-prediction:";
  const stored = (key) => {
    try {
      return JSON.parse(localStorage.getItem(KEY + key));
    } catch {
      return null; // storage is forbidden, or holds something else
    }
  };

  function remember(key, text) {
    const note = { text, day: new Date().toISOString().slice(0, 10) };
    try {
      localStorage.setItem(KEY + key, JSON.stringify(note));
    } catch {
      // the page goes on without memory
    }
    return note;
  }

  function recall(key, note) {
    for (const card of document.querySelectorAll(".course-recall")) {
      if (card.dataset.key !== key) continue;
      const said = card.querySelector("p");
      said.textContent = "You predicted: ";
      const text = make("strong");
      text.textContent = note.text;
      said.append(text, ` (${note.day}).`);
    }
  }

  function prediction(card) {
    const key = card.dataset.key;
    const hint = card.querySelector("p:last-of-type em")?.parentElement;
    if (!key || !hint) return;
    const items = [...card.querySelectorAll("ol > li")];
    const form = make("form", "course-form");
    const name = `prediction-${key}`;
    if (items.length) {
      const letters = items.map((_, i) => String.fromCharCode(65 + i));
      form.append(
        make("fieldset", "", letters.map((l) => `<label><input type="radio" name="${name}" value="${l}"> ${l}</label>`).join(""))
      );
    } else {
      const field = make("input");
      Object.assign(field, { type: "text", name });
      field.setAttribute("aria-label", "Your prediction");
      form.append(field);
    }
    const button = make("button", "", "Write it down");
    const status = make("span");
    status.setAttribute("role", "status");
    form.append(button, status);
    const say = (note) => {
      status.textContent = `Written down on ${note.day}: ${note.text}`;
      recall(key, note);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = String(new FormData(form).get(name) ?? "").trim();
      if (text) say(remember(key, text));
      else status.textContent = items.length ? "Choose one first." : "Write a few words first.";
    });
    hint.querySelector("em").textContent = "Write it down here; you will meet it again after the result. It stays in this browser.";
    hint.after(form);
    const before = stored(key);
    if (before) say(before);
  }

  // --- pictures ------------------------------------------------------------------------------

  // On a phone a picture is smaller than it was drawn: a tap gives it its size, a second one takes it.
  function figure(link) {
    link.addEventListener("click", (event) => {
      const image = link.querySelector("img");
      const shrunk = image.clientWidth < Number(image.getAttribute("width")) - 1;
      if (!shrunk && !link.classList.contains("enlarged")) return;
      event.preventDefault();
      link.classList.toggle("enlarged");
    });
  }

  document.querySelectorAll(".course-quiz[data-quiz]").forEach(quiz);
  document.querySelectorAll(".course-prediction[data-key]").forEach(prediction);
  document.querySelectorAll("a.course-figure").forEach(figure);
})();
