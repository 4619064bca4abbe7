"""The built site: links, pictures, headers, quizzes, weight, and what the browser says of it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from course_lib import quizzes

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SETS = sorted((ROOT / "exercises").glob("*/*.ipynb"))
BOOKS = [path.relative_to(ROOT).as_posix() for path in [*NOTEBOOKS, *SETS]]
START_BYTES = 1_500_000
PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
VOID = {"img", "br", "hr", "input", "link", "meta", "source", "wbr", "path", "rect"}


class Page(NamedTuple):
    """What the tests ask of a page."""

    links: list[str]
    ids: set[str]
    images: list[dict[str, str | None]]
    text: str
    shown: str  # the part of the text that is there at once
    folded: str  # the part that opens with a click


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links, self.ids, self.images = [], set(), []
        self.text, self.shown, self.folded, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        if tag == "img":
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if "script" in self.open or "style" in self.open:
            return
        self.text.append(data)
        folded = "details" in self.open and "summary" not in self.open
        (self.folded if folded else self.shown).append(data)


@cache
def read(path: Path) -> Page:
    parser = _Parser()
    parser.feed(path.read_text(encoding="utf-8"))
    texts = ("".join(part) for part in (parser.text, parser.shown, parser.folded))
    return Page(parser.links, parser.ids, parser.images, *texts)


def html_files(site: Path) -> list[Path]:
    found = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    assert len(found) > len(BOOKS)
    return found


def page_of(site: Path, book: str) -> Path:
    return (site / book).with_suffix(".html")


# --- links, pictures, headers -------------------------------------------------------------------


def test_the_build_has_no_warnings(build_log):
    assert not re.findall(r".*(?:WARNING|ERROR).*", build_log)


def test_links_lead_to_files_and_places(site):
    lost = []
    for path in html_files(site):
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                lost.append(f"{path.relative_to(site)}: {link}")
                continue
            inside = target.suffix == ".html" and unquote(parts.fragment)
            if inside and inside not in read(target).ids:
                lost.append(f"{path.relative_to(site)}: {link}")
    assert not lost, "\n".join(lost[:20])


def test_every_page_can_be_reached_from_the_start(site):
    reached, waiting = set(), [site / "index.html"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".html":
            continue
        reached.add(path)
        links = [urlsplit(link) for link in read(path).links]
        waiting += [(path.parent / unquote(p.path)).resolve() for p in links if not p.scheme]
    left_out = {
        path.relative_to(site).as_posix() for path in html_files(site) if path not in reached
    }
    assert left_out <= {"search.html"}


def test_pictures_have_alternative_texts(site):
    count = 0
    for path in html_files(site):
        for image in read(path).images:
            count += 1
            assert len((image.get("alt") or "").strip()) >= 10, (path.name, image.get("src"))
            assert int(image["width"]) > 0 and int(image["height"]) > 0, (path.name, image["src"])
    assert count > 150, "pictures of the notebooks are missing"


@pytest.mark.parametrize("book", BOOKS)
def test_a_notebook_has_its_header_and_its_file(site, book):
    path = page_of(site, book)
    header = re.search(r'<div class="course-facts.*?</div>', path.read_text("utf-8"), re.DOTALL)[0]
    parser = _Parser()
    parser.feed(header)
    text = re.sub(r"\s+", " ", "".join(parser.text))
    assert re.search(r"Time \S+.*(minutes|hour|quarter)", text.partition("Prerequisites")[0])
    assert len(text.partition("Prerequisites")[2].partition("Next")[0].strip()) > 10
    *others, download, lab = parser.links
    assert any(link.endswith(".html") for link in others), "no next page"
    assert (path.parent / download).read_bytes() == (ROOT / book).read_bytes()
    assert lab.startswith("http://localhost:8888/lab/tree/") and lab.endswith(f"/tree/{book}")


def test_the_next_pages_are_the_whole_course(site):
    """Following the header from the first notebook passes every other one, in order."""
    for here, there in pairwise(NOTEBOOKS):
        html = page_of(site, f"notebooks/{here.name}").read_text("utf-8")
        ahead = html.partition("<strong>Next</strong>")[2].partition("</div>")[0]
        assert f"{there.stem}.html" in ahead, here.stem


@pytest.mark.parametrize("book", BOOKS)
def test_outputs_that_need_a_kernel_leave_nothing_behind(site, book):
    html = page_of(site, book).read_text("utf-8")
    assert not re.search(r"widget-view\+json|Error displaying widget|HBox\(|Output\(\)", html)
    assert "jupyter-widgets" not in html


# --- exercises ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_hints_and_solutions_are_folded(site, path):
    page = read(page_of(site, path.relative_to(ROOT).as_posix()))
    solved = json.loads((ROOT / "solutions" / path.parent.name / path.name).read_text("utf-8"))
    answers = 0
    for cell in solved["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and "### BEGIN SOLUTION" in source:
            answers += 1
            answer = source.partition("### BEGIN SOLUTION\n")[2].partition("### END SOLUTION")[0]
            assert f"{answer.strip()}\n" in page.folded
            assert f"{answer.strip()}\n" not in page.shown
    assert answers and page.text.count("Worked solution") == answers
    assert page.text.count("Hint 1") == answers and page.text.count("Hint 2") == answers
    assert page.text.count("An answer that earns all points") == 3
    assert "NotImplementedError" in page.text, "the stubs"
    assert "BEGIN SOLUTION" not in page.text and "HIDDEN" not in page.text
    assert "Marking:" not in page.text


# --- bibliography, glossary, reference ----------------------------------------------------------


def bibtex() -> dict[str, dict[str, str]]:
    text = (ROOT / "docs" / "site" / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
    assert len(entries) == len({key for key, _ in entries}) == text.count("\n@")
    return {
        key: dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE)) for key, body in entries
    }


def sources() -> dict[Path, str]:
    """The texts that cite: prose and docstrings."""
    texts = {path: path.read_text("utf-8") for path in (ROOT / "course_lib").rglob("*.py")}
    for path in [*NOTEBOOKS, *SETS]:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        texts[path] = "\n\n".join(prose)
    texts |= {path: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}
    return texts | {ROOT / "README.md": (ROOT / "README.md").read_text("utf-8")}


def test_every_number_at_arxiv_has_an_entry_and_the_other_way_round():
    known = [entry["eprint"] for entry in bibtex().values() if "eprint" in entry]
    assert len(known) == len(set(known))
    named = {n for text in sources().values() for n in re.findall(r"\b\d{4}\.\d{4,5}\b", text)}
    cited = {n for n in named if re.match(r"(0[7-9]|1\d|2\d)(0[1-9]|1[0-2])\.", n)}
    assert len(cited) > 50
    assert not cited - set(known), "without an entry in docs/site/references.bib"


def test_every_source_named_with_its_year_has_an_entry():
    entries = bibtex().values()
    pairs = {
        (name.partition(",")[0].strip("{}").split()[-1], entry.get("year"))
        for entry in entries
        for name in entry["author"].split(" and ")
    }
    lost = set()
    for path, text in sources().items():
        for block in re.findall(r"(?:Sources?:?|To read on\.?)\*{0,2}[^\n]*(?:\n[^\n]+)*", text):
            for name, year in re.findall(
                r"\b([A-ZÁØ][\w\-áíøç]+)(?: et\s+al\.)?,?\s\(?((?:19|20)\d\d)\b", block
            ):
                if (name, year) not in pairs:
                    lost.add(f"{path.name}: {name} {year}")
    assert not lost


def test_the_bibliography_lists_every_entry_and_pages_cite_it(site):
    page = read(site / "bibliography.html")
    text = re.sub(r"\s+", " ", page.text)
    for key, entry in bibtex().items():
        year = entry.get("year", "")
        surname = entry["author"].partition(",")[0].strip("{}")
        assert surname in text and year in text, key
    assert len([i for i in page.ids if re.fullmatch(r"id\d+", i)]) >= len(bibtex())
    for path in NOTEBOOKS[6:]:
        links = read(page_of(site, f"notebooks/{path.name}")).links
        assert any("bibliography.html#" in link for link in links), path.stem


def test_the_glossary_is_in_two_languages(site):
    html = (site / "glossary.html").read_text(encoding="utf-8")
    terms = re.findall(r'<dt ([^>]*)id="term-[^"]*"[^>]*>([^<]+)', html)
    chinese = [text for _, text in terms if re.search(r"[\u4e00-\u9fff]", text)]
    assert len(chinese) >= 40 and len(terms) == 2 * len(chinese)
    assert html.count('lang="zh"') == len(chinese), "a reader's voice is not told the language"
    for term in ("潜变量", "证据下界", "重参数化"):
        assert any(term in text for text in chinese)


def test_the_reference_has_every_public_name(site):
    ids = {i for path in (site / "reference").glob("*.html") for i in read(path).ids}
    names = {i.rpartition(".")[2] for i in ids}
    lost = []
    for path in sorted((ROOT / "course_lib").rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        room = module.split(".")[1]
        if room in ("checks", "errors", "files", "front_end", "progress", "bounds_probing"):
            continue
        if re.fullmatch(r"training_(graph|input|run)", room):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                wanted = {n for n in ast.literal_eval(node.value) if n[0].isupper()}
                lost += [f"{module}.{name}" for name in wanted - names if name != name.upper()]
    assert not lost
    assert {"course_lib.models.VAE", "course_lib.bounds.elbo", "course_lib.start"} <= ids


# --- in the browser -----------------------------------------------------------------------------


class Visit:
    """A page in the browser, and what it asked for and complained about."""

    def __init__(
        self, browser, url: str, viewport: dict, scheme: str = "light", wait: str = "load"
    ) -> None:
        self.page = browser.new_page(viewport=viewport, color_scheme=scheme)
        self.page.set_default_timeout(20_000)
        self.said, self.asked, self.bytes = [], [], 0
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", self._response)
        self.page.goto(url, wait_until=wait)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def _response(self, response) -> None:
        if response.status >= 400:
            self.said.append(f"{response.status} {response.url}")
        elif not response.url.startswith("data:"):
            self.bytes += int(response.headers.get("content-length", 0))

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *error: object) -> None:
        self.page.close()


@pytest.mark.browser
def test_the_start_page_is_light(browser, address):
    with Visit(browser, f"{address}/index.html", LAPTOP, wait="networkidle") as visit:
        height = visit.page.evaluate("document.documentElement.scrollHeight")
        visit.page.mouse.wheel(0, height)  # pictures that load when they are near
        visit.page.wait_for_load_state("networkidle")
        assert len(visit.asked) > 5
        assert 100_000 < visit.bytes < START_BYTES


PAGES = [
    *("index", "explorers", "notation", "glossary", "bibliography", "search", "docs/sets"),
    *("docs/teaching", "reference/index", "reference/models", "reference/plotting"),
    *(book.removesuffix(".ipynb") for book in BOOKS),
]


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_and_fits(browser, address, name):
    """No error, no request elsewhere, no formula that fails, and nothing wider than a phone."""
    with Visit(browser, f"{address}/{name}.html", PHONE, "dark", "networkidle") as visit:
        page = visit.page
        assert not visit.said
        assert visit.asked and all(url.startswith((address, "data:")) for url in visit.asked)
        if page.locator(".math").count():
            page.locator("mjx-container").first.wait_for(state="attached")
        # A name that MathJax does not know is set in red.
        failed = 'mjx-merror, [data-mjx-error], mjx-mtext[style*="red"]'
        assert page.locator(failed).count() == 0
        text = page.locator("main").inner_text()
        assert not re.search(r"\\\(|\\\[|\{cite\}|\$\$|```|:::", text), "raw markup"
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.set_viewport_size(LAPTOP)
        assert page.evaluate("document.documentElement.scrollWidth") <= LAPTOP["width"]


@pytest.mark.browser
def test_pictures_keep_their_shape_on_a_phone(browser, address):
    with Visit(browser, f"{address}/notebooks/03_kl_divergence.html", PHONE) as visit:
        links = visit.page.locator("a.course-figure")
        link = links.filter(has=visit.page.locator("img")).first
        image = link.locator("img")
        image.scroll_into_view_if_needed()
        image.evaluate("i => i.decode()")  # it loads when it is near
        shape = image.evaluate(
            "i => [i.clientWidth, i.clientHeight, i.naturalWidth, i.naturalHeight]"
        )
        assert shape[2] > 300, "the picture did not load"
        assert shape[0] / shape[1] == pytest.approx(shape[2] / shape[3], rel=0.02)
        assert shape[0] <= PHONE["width"]
        link.click()  # to read it, it gets the size in which it was drawn, and scrolls
        assert image.evaluate("i => i.clientWidth") == int(image.get_attribute("width"))
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.browser
@pytest.mark.parametrize("number", [path.stem[:2] for path in NOTEBOOKS])
def test_a_quiz_answers(browser, address, number):
    name = next(path.stem for path in NOTEBOOKS if path.stem.startswith(number))
    with Visit(browser, f"{address}/notebooks/{name}.html", PHONE) as visit:
        sets = visit.page.locator(".course-quiz fieldset")
        quiz = quizzes.load(number)
        assert sets.count() == len(quiz.questions)
        for i, question in enumerate(quiz.questions):
            options = sets.nth(i).locator("button.course-option")
            answer = sets.nth(i).get_by_role("status")
            assert options.count() == len(question.options)
            assert answer.inner_text() == ""
            wrong = 1 if question.answer == 0 else 0
            options.nth(wrong).click()
            assert "Not right." in answer.inner_text()
            options.nth(question.answer).focus()
            visit.page.keyboard.press("Enter")
            said = answer.inner_text()
            assert "Right." in said and "Not right." not in said
            plain = re.split(r"[$*`]", question.options[question.answer].feedback)[0].strip()
            assert plain in re.sub(r"\s+", " ", said)
            pressed = options.nth(question.answer).get_attribute("aria-pressed")
            assert (pressed, options.nth(wrong).get_attribute("aria-pressed")) == ("true", "false")
        assert "0 of 3 right at the first try." in visit.page.locator(".course-quiz").inner_text()
        assert not visit.said


@pytest.mark.browser
def test_the_keyboard_reaches_every_option(browser, address):
    with Visit(browser, f"{address}/notebooks/00_start_here.html", LAPTOP) as visit:
        options = visit.page.locator(".course-quiz button.course-option")
        options.first.focus()
        for i in range(options.count()):
            assert options.nth(i).evaluate("e => e === document.activeElement"), i
            outline = options.nth(i).evaluate("e => getComputedStyle(e).outlineStyle")
            assert i == 0 or outline != "none", "the focus cannot be seen"
            visit.page.keyboard.press("Tab")


@pytest.mark.browser
def test_a_prediction_is_met_again(browser, address):
    with Visit(browser, f"{address}/notebooks/03_kl_divergence.html", PHONE) as visit:
        page = visit.page
        card = page.locator(".course-prediction").first
        key = card.get_attribute("data-key")
        recall = page.locator(f'.course-recall[data-key="{key}"]')
        before = recall.inner_text()
        assert "stands here once you have written it down" in before
        card.get_by_role("button").click()
        assert "Choose one first." in card.inner_text()
        card.get_by_role("radio", name="C").check()
        card.get_by_role("button").click()
        assert "You predicted: C" in recall.inner_text()
        page.reload()
        assert "You predicted: C" in recall.inner_text()
        assert not visit.said


@pytest.mark.browser
@pytest.mark.parametrize("term", ["posterior collapse", "证据下界", "slerp"])
def test_search_finds(browser, address, term):
    with Visit(browser, f"{address}/search.html?q={term}", LAPTOP) as visit:
        visit.page.locator("#search-results li").first.wait_for()
        assert not visit.said


@pytest.mark.browser
def test_without_a_script_quizzes_open_and_pictures_stay(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/notebooks/03_kl_divergence.html")
    option = page.locator(".course-quiz details").first
    option.locator("summary").click()
    assert "Not right." in option.inner_text() or "Right." in option.inner_text()
    assert page.locator(".kl-explorer img").is_visible()
    context.close()


# --- the command --------------------------------------------------------------------------------


def test_a_cell_without_a_time_is_refused():
    code = "import pages; pages.facts('# A title\\n\\nNo word about it.')"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs" / "site", capture_output=True, text=True
    )
    assert "'# A title' tells no time: write a paragraph that begins with 'Time:'." in run.stderr


def test_the_lab_of_a_classroom_can_be_named():
    code = (
        "import pages, pathlib, tempfile\n"
        "site = pages.Site('https://hub/lab/tree/', pathlib.Path(tempfile.mkdtemp()))\n"
        "print(pages.page(site, site.notebooks['00'])['cells'][0]['source'])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs" / "site", capture_output=True, text=True
    )
    assert '"https://hub/lab/tree/notebooks/00_start_here.ipynb"' in run.stdout
