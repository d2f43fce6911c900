"""Files become a typed manifest, or every problem in all of them at once.

What each problem looks like stands in tests/examples.
"""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personasync.manifest import texts
from personasync.manifest.ids import id_trouble
from personasync.manifest.load import load_manifest
from personasync.manifest.reader import MAX_PROBLEMS
from personasync.manifest.schemas import compile_schema, load_schema
from personasync.model.diagnostics import Diagnostic, Place, Severity
from personasync.model.errors import ManifestError
from personasync.model.persona import Manifest, Persona, PersonaRequest, Settings
from personasync.model.units import Rate
from personasync.render.diagnostics import render_json, render_text

SCHEMA = load_schema("manifest")
AUDIO = "e231c2d4-58b6-4b6d-9a0c-1f2e8cadc7dc"
ENTRY = {
    "taskId": "5c79be8e",
    "audioId": AUDIO,
    "name": "Electronic Pop Singer",
    "description": "A modern electronic pop singer with bright, dynamic synth tones",
}


def entry(**fields: Any) -> dict[str, Any]:
    return {**ENTRY, **fields}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, personas: dict[str, Any] | None = None, **parts: Any) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        yaml.safe_dump({"version": 1, "personas": personas or {}, **parts}, sort_keys=False)
    )
    return name


def problems(*paths: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(ManifestError) as caught:
        load_manifest(paths)
    return caught.value.diagnostics


def codes(*paths: str) -> list[str]:
    return [problem.code for problem in problems(*paths)]


def files(*paths: str) -> tuple[str, ...]:
    return load_manifest(paths).files


def test_a_manifest_in_full() -> None:
    Path("personas.yaml").write_text(
        "version: 1\n"
        "settings: {parallelism: 8, rateLimit: 100/1m, maxCreates: 50}\n"
        "defaults: {vocalStart: 2.5, style: Pop}\n"
        "personas:\n"
        "  neon-siren:\n"
        f"    taskId: 5c79be8e\n    audioId: {AUDIO}\n"
        "    name: Neon Siren\n    description: A modern electronic pop singer\n"
        "    vocalStart: 0\n    vocalEnd: 30\n"
        "  velvet-oak:\n"
        "    taskId: 8d2f40aa\n    audioId: 0b7d5c1e\n"
        "    name: Velvet Oak\n    description: A warm acoustic storyteller\n"
        "    personaId: a1b2c3d4\n    style: Folk\n"
    )
    place = Place("personas.yaml", 5, 3, 5, 13)
    assert load_manifest(["personas.yaml"]) == Manifest(
        personas=(
            Persona(
                "neon-siren",
                PersonaRequest(
                    "5c79be8e", AUDIO, "Neon Siren", "A modern electronic pop singer", 0, 30, "Pop"
                ),
                place,
            ),
            Persona(
                "velvet-oak",
                PersonaRequest(
                    "8d2f40aa",
                    "0b7d5c1e",
                    "Velvet Oak",
                    "A warm acoustic storyteller",
                    2.5,
                    None,
                    "Folk",
                ),
                Place("personas.yaml", 12, 3, 12, 13),
                "a1b2c3d4",
                Place("personas.yaml", 17, 16, 17, 24),
            ),
        ),
        settings=Settings(8, Rate(100, 60), 50),
        files=("personas.yaml",),
    )


def test_numbers_stay_what_they_are() -> None:
    write("m.yaml", {"a": entry(vocalStart=0, vocalEnd=12.5)})
    body = load_manifest(["m.yaml"]).personas[0].request.to_json()
    assert (body["vocalStart"], type(body["vocalStart"])) == (0, int)
    assert (body["vocalEnd"], type(body["vocalEnd"])) == (12.5, float)
    assert "style" not in body


def test_a_whole_number_of_workers_is_an_integer() -> None:
    write("m.yaml", settings={"parallelism": 4.0})
    parallelism = load_manifest(["m.yaml"]).settings.parallelism
    assert (parallelism, type(parallelism)) == (4, int)


def test_defaults_are_for_their_own_file() -> None:
    write("a.yaml", {"a": entry()}, defaults={"style": "Pop"})
    write("b.yaml", {"b": entry(audioId="b2", name="B")})
    manifest = load_manifest(["a.yaml", "b.yaml"])
    assert [persona.request.style for persona in manifest.personas] == ["Pop", None]


def test_settings_of_all_files_are_combined() -> None:
    write("a.yaml", settings={"parallelism": 8, "rateLimit": "20/10s"})
    write("b.yaml", settings={"maxCreates": 5, "rateLimit": "20/10000ms"})
    assert load_manifest(["a.yaml", "b.yaml"]).settings == Settings(8, Rate(20, 10), 5)


class TestFiles:
    def test_a_folder_stands_for_its_own_manifests(self) -> None:
        for name in ("d/b.yml", "d/a.yaml", "d/C.YAML", "d/.hidden.yaml", "d/deeper/x.yaml"):
            write(name)
        Path("d/notes.txt").write_text("no manifest")
        Path("d/folder.yaml").mkdir()
        assert files("d") == ("d/C.YAML", "d/a.yaml", "d/b.yml")
        assert files("d/") == ("d/C.YAML", "d/a.yaml", "d/b.yml")

    def test_the_current_folder_needs_no_prefix(self) -> None:
        write("a.yaml")
        assert files(".") == ("a.yaml",)

    def test_what_is_reached_twice_is_read_once(self) -> None:
        write("d/a.yaml", {"a": entry()})
        Path("link.yaml").symlink_to("d/a.yaml")
        manifest = load_manifest(["d/a.yaml", "d", "./d/a.yaml", Path("link.yaml")])
        assert manifest.files == ("d/a.yaml",)
        assert len(manifest.personas) == 1

    def test_a_pipe_is_read_like_a_file(self) -> None:
        reader, writer = os.pipe()
        os.write(writer, b"version: 1\npersonas: {}\n")
        os.close(writer)
        try:
            assert files(f"/dev/fd/{reader}") == (f"/dev/fd/{reader}",)
        finally:
            os.close(reader)

    def test_a_missing_file(self) -> None:
        (problem,) = problems("personas.yaml")
        assert (problem.code, problem.place) == ("no-such-file", Place("personas.yaml", 0, 0))
        assert "personasync init" in str(problem.hint)

    def test_a_missing_file_with_another_suffix(self) -> None:
        write("personas.yml")
        (problem,) = problems("personas.yaml")
        assert problem.hint == "did you mean personas.yml?"

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = yaml.safe_dump({"version": 1, "personas": {"a": entry()}}).encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        write("more.yaml", {"b": entry(audioId="b2", name="B")})
        manifest = load_manifest(["-", "more.yaml", "-"])
        assert manifest.files == ("<stdin>", "more.yaml")
        assert [str(persona.place) for persona in manifest.personas] == [
            "<stdin>:2:3",
            "more.yaml:3:3",
        ]

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("d/**/*.yaml", ("d/a.yaml", "d/e/f/c.yaml")),
            ("d/**", ("d/a.yaml", "d/b.yml", "d/e/f/c.yaml")),
            ("d/*", ("d/a.yaml", "d/b.yml")),
            ("d/[ab].*", ("d/a.yaml", "d/b.yml")),
            ("*/[x].yaml", ("d[1]/[x].yaml",)),
        ],
    )
    def test_a_glob_is_expanded(self, pattern: str, found: tuple[str, ...]) -> None:
        for name in ("d/b.yml", "d/a.yaml", "d/.hidden.yaml", "d/e/f/c.yaml", "d[1]/[x].yaml"):
            write(name)
        Path("d/notes.txt").write_text("no manifest")
        assert files(pattern.replace("[x]", "[[]x]")) == found

    def test_a_glob_that_matches_nothing(self) -> None:
        write("a.yaml")
        assert [(p.code, str(p.place)) for p in problems("d/*.yaml")] == [
            ("no-manifest", "d/*.yaml")
        ]

    @pytest.mark.parametrize("link", ["m.yaml", "d/m.yaml", "linked/m.yaml", "folder"])
    @pytest.mark.parametrize(
        "text",
        [
            "key: sk-secret\nversion: 1\npersonas: {}\n",
            "sk-secret: 1\nversion: 1\n",
            "sk-secret: {}\nother: []\n",
            "- sk-secret\n",
            "sk-secret",
            "a: sk-secret: b\n",
            "a: *sk-secret\n",
            "version: 1\npersonas:\n  sk-secret: {taskId: sk-secret}\n",
            "version: sk-secret\nversion: sk-secret\n",
        ],
    )
    def test_nothing_of_what_lies_elsewhere_is_shown(
        self, link: str, text: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        outside = tmp_path_factory.mktemp("outside")
        (outside / "m.yaml").write_text(text)
        Path("d").mkdir()
        Path("d/m.yaml").symlink_to(outside / "m.yaml")
        Path("m.yaml").symlink_to(outside / "m.yaml")
        Path("linked").symlink_to(outside)
        Path("folder").symlink_to(outside)
        found = problems(link)
        assert [(p.code, p.source) for p in found] == [("foreign-file", None)]
        assert "secret" not in render_text(found)

    def test_lines_of_a_manifest_elsewhere_are_not_shown(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        outside = tmp_path_factory.mktemp("outside")
        write(str(outside / "m.yaml"), {"a": entry(vocalEnd=90)})
        Path("m.yaml").symlink_to(outside / "m.yaml")
        assert [(w.code, w.source) for w in load_manifest(["m.yaml"]).warnings] == [
            ("segment-length", None)
        ]

    def test_lines_of_what_lies_in_the_folder_are_shown(self) -> None:
        Path("d/e").mkdir(parents=True)
        Path("d/e/real.yaml").write_text("key: C\nversion: 1\npersonas: {}\n")
        Path("d/m.yaml").symlink_to("e/real.yaml")
        Path("folder").symlink_to("d")
        for name in ("d/m.yaml", "folder/m.yaml", str(Path("d/m.yaml").absolute())):
            assert [p.source for p in problems(name)] == ["key: C"]

    def test_a_dangling_link_in_a_folder(self) -> None:
        write("d/b.yaml", {"b": entry(taskId="")})
        Path("d/a.yaml").symlink_to("nowhere.yaml")
        assert [str(problem.place) for problem in problems("d")] == [
            "d/a.yaml",
            "d/b.yaml:4:13",
        ]

    def test_a_folder_without_manifests(self) -> None:
        Path("d/inner").mkdir(parents=True)
        assert codes("d") == ["no-manifest"]

    def test_one_path_by_itself(self) -> None:
        write("a.yaml")
        assert (
            load_manifest("a.yaml") == load_manifest([Path("a.yaml")]) == load_manifest(["a.yaml"])
        )

    def test_no_path_at_all(self) -> None:
        assert codes() == ["no-manifest"]

    @pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "file.yaml/below"])
    def test_impossible_names(self, name: str) -> None:
        write("file.yaml")
        (problem,) = problems(name)
        assert problem.place == Place(name, 0, 0)

    def test_no_permission(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write("m.yaml")

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
        assert codes("m.yaml") == ["no-permission"]

    def test_no_permission_for_a_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write("d/m.yaml")

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("os.scandir", refuse)
        assert codes("d") == ["no-permission"]

    def test_the_other_files_are_still_checked(self) -> None:
        Path("broken.yaml").write_text("a: b: c\n")
        write("rule.yaml", {"a": entry(vocalEnd=0)})
        write("schema.yaml", {"b": entry(taskId=1)})
        found = [
            (p.place.file, p.code)
            for p in problems("schema.yaml", "gone.yaml", "rule.yaml", "broken.yaml")
            if p.place
        ]
        assert found == [
            ("broken.yaml", "stray-colon"),
            ("gone.yaml", "no-such-file"),
            ("rule.yaml", "duplicate-audio-id"),
            ("rule.yaml", "duplicate-name"),
            ("rule.yaml", "empty-segment"),
            ("schema.yaml", "not-text"),
        ]


def test_the_summary_counts_errors_only() -> None:
    write("one.yaml", {"a": entry(vocalEnd=90, taskId="")})
    write("two.yaml", {"a": entry(taskId="", name="")})
    for name, message in (("one.yaml", "has 1 error"), ("two.yaml", "has 2 errors")):
        with pytest.raises(ManifestError, match=f"^the manifest {message}$") as caught:
            load_manifest([name])
        assert caught.value.exit_code == 1


def test_warnings_alone_do_not_stop_anything() -> None:
    write("m.yaml", {"a": entry(vocalEnd=90)})
    manifest = load_manifest(["m.yaml"])
    assert [(w.code, w.severity) for w in manifest.warnings] == [
        ("segment-length", Severity.WARNING)
    ]


def test_a_sound_manifest_needs_no_jsonschema() -> None:
    write("m.yaml", {"a": entry()})
    script = (
        "import sys; from personasync.manifest.load import load_manifest;"
        "load_manifest(['m.yaml']); print({'jsonschema', 'requests', 'rich'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


class TestMany:
    def test_all_problems_up_to_a_limit_then_how_many_more(self) -> None:
        write(
            "m.yaml", {f"k{n}": entry(audioId=f"a{n}", name=f"n{n}", taskId="") for n in range(700)}
        )
        found = problems("m.yaml")
        assert len(found) == MAX_PROBLEMS + 1
        assert found[-1].message == "200 more errors are not shown"
        places = [problem.place for problem in found[:-1]]
        assert places == sorted(p for p in places if p)

    def test_errors_are_shown_before_warnings_are(self) -> None:
        many = {f"k{n}": entry(audioId=f"a{n}", name=f"n{n}", vocalEnd=90) for n in range(600)}
        write("m.yaml", {**many, "last": entry(taskId="")})
        with pytest.raises(ManifestError, match=r"has 1 error$") as caught:
            load_manifest(["m.yaml"])
        assert "empty-value" in [problem.code for problem in caught.value.diagnostics]

    def test_warnings_are_limited_too(self) -> None:
        many = {f"k{n}": entry(audioId=f"a{n}", name=f"n{n}", vocalEnd=90) for n in range(501)}
        write("m.yaml", many)
        warnings = load_manifest(["m.yaml"]).warnings
        assert len(warnings) == MAX_PROBLEMS + 1
        assert warnings[-1].message == "1 more warning is not shown"
        assert warnings[-1].severity is Severity.WARNING

    def test_errors_and_warnings_are_counted_apart(self) -> None:
        for number in range(MAX_PROBLEMS + 40):
            field = {"tempo": 1} if number % 2 else {"vocalEnd": 90}
            write(f"m/{number:04}.yaml", {f"k{number}": entry(audioId=f"a{number}", **field)})
        for number in range(MAX_PROBLEMS):
            write(f"n/{number:04}.yaml", {f"n{number}": entry(audioId=f"n{number}", tempo=1)})
        with pytest.raises(ManifestError, match=r"has 770 errors$") as caught:
            load_manifest(["m", "n"])
        shown = caught.value.diagnostics
        assert [d.message for d in shown if d.place is None] == [
            "270 more errors are not shown",
            "1,309 more warnings are not shown",
        ]
        assert json.loads(render_json(shown))["summary"] == {"errors": 770, "warnings": 1309}

    def test_what_a_default_does_wrong_is_told_once(self) -> None:
        many = {f"k{n}": entry(audioId=f"a{n}", name=f"n{n}") for n in range(9)}
        write("m.yaml", many, defaults={"vocalStart": 40})
        (problem,) = problems("m.yaml")
        assert (problem.code, str(problem.place)) == ("empty-segment", "m.yaml:49:15")


class TestRules:
    @pytest.mark.parametrize(
        ("defaults", "fields", "code"),
        [
            ({}, {}, None),
            ({}, {"vocalStart": 20, "vocalEnd": 20}, "empty-segment"),
            ({}, {"vocalStart": 30}, "empty-segment"),
            ({}, {"vocalEnd": 0}, "empty-segment"),
            ({}, {"vocalEnd": 9.9}, "segment-length"),
            ({}, {"vocalEnd": 10}, None),
            ({}, {"vocalStart": 10.1, "vocalEnd": 40.1}, None),  # 30.000000000000004 apart
            ({}, {"vocalEnd": 30.1}, "segment-length"),
            ({}, {"vocalStart": 10**17, "vocalEnd": 9e18}, "segment-length"),
            ({"vocalEnd": 60}, {"vocalStart": 40}, None),
            ({"vocalEnd": 60}, {"vocalStart": 60}, "empty-segment"),
            ({"vocalStart": 40}, {"vocalEnd": 60}, None),
            ({"vocalStart": 40}, {"vocalEnd": 40}, "empty-segment"),
            ({"vocalStart": 40}, {}, "empty-segment"),
            ({"vocalStart": 40, "vocalEnd": 20}, {"vocalStart": 0}, None),
        ],
    )
    def test_the_segment_in_effect(
        self, defaults: dict[str, Any], fields: dict[str, Any], code: str | None
    ) -> None:
        write("m.yaml", {"a": entry(**fields)}, defaults=defaults)
        try:
            found = load_manifest(["m.yaml"]).warnings
        except ManifestError as error:
            found = error.diagnostics
        assert [problem.code for problem in found] == ([] if code is None else [code])

    def test_a_bad_bound_is_not_compared(self) -> None:
        write("m.yaml", {"a": entry(vocalStart=40, vocalEnd="soon")})
        write("d.yaml", {"a": entry(vocalStart=40)}, defaults={"vocalEnd": "soon"})
        assert codes("m.yaml") == ["not-a-number"]
        assert codes("d.yaml") == ["not-a-number"]

    @pytest.mark.parametrize("field", ["taskId", "audioId", "personaId"])
    @pytest.mark.parametrize(
        "value",
        [
            "5c79****be8e",
            "e231…dc7dc",
            "e231...",
            "<id>",
            "xxx-xxx",
            "TODO",
            "your-audio-id",
            "ChangeMe",
        ],
    )
    def test_placeholder_ids(self, field: str, value: str) -> None:
        write("m.yaml", {"a": entry(**{field: value})})
        assert codes("m.yaml") == ["placeholder"]

    @pytest.mark.parametrize(
        "value", ["abcdef", "a", "fixture-1", "xenon", "a.b", "x_1", "a:b", "ü1", "null-1"]
    )
    def test_ids_that_are_none(self, value: str) -> None:
        write("m.yaml", {"a": entry(taskId=value)})
        assert load_manifest(["m.yaml"]).warnings == ()

    @pytest.mark.parametrize("value", ["TODO", "todo: ", "...", "TBD!", "Lorem ipsum"])
    def test_placeholder_descriptions(self, value: str) -> None:
        write("m.yaml", {"a": entry(description=value)})
        assert codes("m.yaml") == ["placeholder"]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"description": "Lorem ipsum......"}, "placeholder"),
            ({"description": "Lorem ipsum" + "." * 200}, "placeholder"),
            ({"taskId": "your-task1-id"}, "placeholder"),
            ({"audioId": "1-xxx"}, "placeholder"),
            ({"name": "Neon \u3164 Siren"}, "unseen-character"),
            ({"taskId": AUDIO}, "same-id"),
        ],
    )
    def test_what_looks_sound_at_a_glance(self, fields: dict[str, str], code: str) -> None:
        write("m.yaml", {"a": entry(**fields)})
        try:
            found = load_manifest(["m.yaml"]).warnings
        except ManifestError as error:
            found = error.diagnostics
        assert [problem.code for problem in found] == [code]

    @given(st.text(st.characters(max_codepoint=0x17F), min_size=1))
    def test_no_rule_about_characters_has_a_word_on_ordinary_text(self, text: str) -> None:
        if texts.ORDINARY.fullmatch(text):
            for field in ("name", "description", "style"):
                assert list(texts._characters(field, text)) == []

    @given(
        st.sampled_from(["taskId", "audioId", "personaId"]),
        st.text(min_size=1, max_size=30)
        | st.text("a1-_,;/\\<>{}*.\"'“”–… ０\u200b", min_size=1, max_size=8),
    )
    def test_what_the_schema_refuses_as_an_id_is_explained(self, field: str, text: str) -> None:
        part = SCHEMA["definitions"]["persona"]["properties"][field]
        sound = compile_schema({**part, "definitions": SCHEMA["definitions"]})
        trouble = id_trouble(field, text)
        if not sound(text) and text.strip():
            assert trouble is not None
        if trouble is not None and trouble.hint.startswith("write "):
            assert sound(trouble.hint.removeprefix("write "))
            assert id_trouble(field, trouble.hint.removeprefix("write ")) is None

    @pytest.mark.parametrize(
        ("field", "text", "code"),
        [
            ("description", "First line\n\tsecond line\n", None),
            ("description", "A singer with a\rcarriage return", "control-character"),
            ("description", "A singer with an \x1b escape", "control-character"),
            ("name", "Neon\nSiren", "control-character"),
            ("name", "Neon\tSiren", "control-character"),
            ("style", "Pop\x85", "control-character"),
            ("name", "Neon\u200bSiren", "unseen-character"),
            ("name", "\u202eneriS noeN", "unseen-character"),
            ("style", "Pop\u200d", "unseen-character"),
            ("name", "Neon \U000e0041", "unseen-character"),
            ("name", "👩\u200d🎤 می\u200cخواهم", None),
            ("name", "夜\u3000の歌姫", None),
            ("name", "Voix\u202f: « douce »".replace("« ", "«\u00a0"), None),
            ("name", "\u3000夜の歌姫", "white-space-around"),
            ("name", "夜\u00a0の歌姫", "odd-space"),
        ],
    )
    def test_characters(self, field: str, text: str, code: str | None) -> None:
        write("m.yaml", {"a": entry(**{field: text})})
        if code == "control-character":
            assert codes("m.yaml") == [code]
        else:
            warnings = load_manifest(["m.yaml"]).warnings
            assert [warning.code for warning in warnings] == ([code] if code else [])

    def test_a_style_from_the_defaults_is_looked_at(self) -> None:
        write("m.yaml", {"a": entry()}, defaults={"style": "Pop\n"})
        (problem,) = problems("m.yaml")
        assert problem.message == "defaults.style holds a line break"

    def test_a_field_in_doubt_does_not_hide_others(self) -> None:
        write("m.yaml", {"a": entry(name=""), "b": entry(style=[])})
        assert codes("m.yaml") == ["empty-value", "duplicate-audio-id", "wrong-type"]


VALID = (
    "# yaml-language-server: $schema=./schemas/manifest.schema.json\n"
    'version: 1\nsettings:\n  rateLimit: 20/10s\ndefaults: {style: "Pop"}\n'
    f"personas:\n  neon-siren: &a\n    taskId: 5c79be8e\n    audioId: {AUDIO}\n"
    "    name: 'Neon Siren'\n    description: >-\n      夜の街に響く透明感のある歌声 🎤\n"
    "    vocalEnd: 30.0\n  velvet-oak: {<<: *a, audioId: b2, name: Oak}\n"
).encode()


def _outcome(data: bytes) -> Manifest | tuple[Diagnostic, ...]:
    """Load the bytes; a manifest that is refused must say where and why."""
    Path("fuzz.yaml").write_bytes(data)
    try:
        return load_manifest(["fuzz.yaml"])
    except ManifestError as error:
        diagnostics = error.diagnostics
    assert any(d.severity is Severity.ERROR for d in diagnostics)
    assert all(d.message and d.place and d.place.file == "fuzz.yaml" for d in diagnostics)
    assert render_text(diagnostics)
    return diagnostics


def test_every_prefix_of_a_manifest_loads_or_says_why() -> None:
    assert isinstance(_outcome(VALID), Manifest)
    outcomes = [_outcome(VALID[:length]) for length in range(len(VALID))]
    assert sum(isinstance(outcome, tuple) for outcome in outcomes) > len(VALID) / 2


@given(
    st.integers(0, len(VALID)),
    st.integers(0, 12),
    st.sampled_from(b"\t\n :-?[]{}&*!|>'\"%@`#,~<=.0\0\xff\r").map(lambda byte: bytes([byte]))
    | st.sampled_from([b"\xef\xbb\xbf", "\u2028".encode(), b"---\n", b"<<: *a\n", b"!!set "])
    | st.binary(max_size=8),
)
@settings(
    max_examples=600,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
def test_every_slip_in_a_manifest_loads_or_says_why(start: int, cut: int, put: bytes) -> None:
    _outcome(VALID[:start] + put + VALID[start + cut :])


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML's own parser takes the halves")
def test_a_character_in_two_halves_is_told_as_such(tmp_path: Path) -> None:
    text = json.dumps({"version": 1, "personas": {"siren": entry(name="Siren \U0001f3b5")}})
    (tmp_path / "personas.yaml").write_text(text)
    with pytest.raises(ManifestError) as raised:
        load_manifest(["personas.yaml"])
    (problem,) = raised.value.diagnostics
    assert problem.message == (
        r"\ud83c\udfb5 is one character in two halves, as JSON writes it and YAML does not"
    )
    assert problem.hint == r"write 🎵 itself, or \U0001f3b5"


@pytest.mark.parametrize(
    ("before", "audio"),
    [
        ("# x" + " #a" * 700_000, "audio-1"),
        ("", "<" * 2_000_000),
        ("", "your-" * 400_000),
        ("", "x-" * 1_000_000),
    ],
    ids=["many #", "many <", "many your-", "many x-"],
)
def test_long_texts_take_time_in_proportion(tmp_path: Path, before: str, audio: str) -> None:
    text = before + "\n" + json.dumps({"version": 1, "personas": {"a": entry(audioId=audio)}})
    (tmp_path / "personas.yaml").write_text(text)
    begun = time.process_time()
    if "<" in audio:
        assert codes("personas.yaml") == ["bad-id"]
    else:
        assert load_manifest(["personas.yaml"]).personas[0].audio_id == audio
    assert time.process_time() - begun < 30  # far above what it takes; squared, it takes minutes


def test_an_id_that_a_ci_log_would_obey_is_none(tmp_path: Path) -> None:
    text = json.dumps({"version": 1, "personas": {"a": entry(personaId="::error::pwn")}})
    (tmp_path / "personas.yaml").write_text(text)
    with pytest.raises(ManifestError) as raised:
        load_manifest(["personas.yaml"])
    assert [problem.code for problem in raised.value.diagnostics] == ["workflow-command"]


@pytest.mark.parametrize("digits", [19, 300, 309, 310, 4300, 5000])
@pytest.mark.parametrize("field", ["vocalEnd", "vocalStart"])
def test_a_number_of_any_length_is_a_diagnostic(tmp_path: Path, field: str, digits: int) -> None:
    text = json.dumps({"version": 1, "personas": {"a": entry()}})
    text = text.replace('"taskId"', f'"{field}": 9{"0" * digits}, "taskId"')
    (tmp_path / "personas.yaml").write_text(text)
    with pytest.raises(ManifestError) as raised:
        load_manifest(["personas.yaml"])
    assert [problem.code for problem in raised.value.diagnostics] == ["odd-number"]
