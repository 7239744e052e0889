import os

import pytest

from k1edge.library.admission import admit, sound_format
from k1edge.library.errors import Code, LibraryError


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "song.flac").write_bytes(b"fLaC....")
    (tmp_path / "secret.flac").write_bytes(b"fLaC....")
    return folder


def code_of(path, folder, **limits) -> Code:
    with pytest.raises(LibraryError) as caught:
        admit(path, folder, **limits)
    return caught.value.code


def test_a_song_in_the_folder_is_admitted_by_relative_and_absolute_path(music):
    assert admit("song.flac", music) == admit(music / "song.flac", music) == music / "song.flac"


@pytest.mark.parametrize("path", ["../secret.flac", "x/../../secret.flac", "/etc/passwd", ".."])
def test_no_path_leads_out_of_the_folder(music, path):
    (music / "x").mkdir()
    assert code_of(path, music) is Code.FILE_NOT_ALLOWED


def test_no_link_leads_out_of_the_folder(music, tmp_path):
    (music / "link.flac").symlink_to(tmp_path / "secret.flac")
    (music / "up").symlink_to(tmp_path)
    (music / "loop").symlink_to(music / "loop")
    assert code_of("link.flac", music) is Code.FILE_NOT_ALLOWED
    assert code_of("up/secret.flac", music) is Code.FILE_NOT_ALLOWED
    assert code_of("loop", music) is Code.FILE_NOT_FOUND


def test_a_link_that_took_the_place_of_a_file_that_was_looked_at_is_not_followed(music, tmp_path, monkeypatch):
    (music / "link.flac").symlink_to(tmp_path / "secret.flac")
    monkeypatch.setattr("k1edge.library.admission._inside", lambda path, folder: folder / path)
    assert code_of("link.flac", music) is Code.FILE_NOT_FOUND


def test_a_link_within_the_folder_is_followed(music):
    (music / "same.flac").symlink_to(music / "song.flac")
    assert admit("same.flac", music) == music / "song.flac"


@pytest.mark.parametrize("path", ["none.flac", "a\0b", "x" * 5000, ""])
def test_what_cannot_be_opened_is_refused(music, path):
    assert code_of(path, music) in (Code.FILE_NOT_FOUND, Code.INVALID_FILE_FORMAT)


@pytest.mark.parametrize("path", ["night.flac", "Music/night.flac"])
def test_of_a_song_that_lies_in_the_inbox_it_is_told_where(music, tmp_path, path):
    (music / "inbox").mkdir()
    (music / "inbox" / "secret.flac").symlink_to(tmp_path / "secret.flac")
    (music / "inbox" / "night.flac").write_bytes(b"fLaC....")
    with pytest.raises(LibraryError, match=r"; there is inbox/night\.flac$"):
        admit(path, music)
    with pytest.raises(LibraryError) as elsewhere:
        admit("secret.flac", music)
    assert "there is" not in elsewhere.value.reason


def test_a_pipe_and_a_directory_are_refused_without_waiting(music):
    os.mkfifo(music / "pipe.flac")
    (music / "dir.flac").mkdir()
    assert code_of("pipe.flac", music) is Code.INVALID_FILE_FORMAT
    assert code_of("dir.flac", music) is Code.INVALID_FILE_FORMAT


def test_a_file_above_the_limit_is_refused_by_its_size(music):
    with (music / "long.flac").open("wb") as file:
        file.write(b"fLaC")
        file.truncate(3_000_000_000)
    assert code_of("long.flac", music) is Code.FILE_TOO_LARGE
    assert code_of("song.flac", music, max_bytes=5) is Code.FILE_TOO_LARGE
    with pytest.raises(LibraryError, match=r"3000\.0 MB; \[library\] max_file_mb allows 50$"):
        admit("long.flac", music)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
        (b"RF64\xff\xff\xff\xffWAVE", "wav"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"OggS\0\x02", "ogg"),
        (b"ID3\x04\0", "mp3"),
        (b"\xff\xfb\x90\x64", "mp3"),
        (b"\0\0\0\x20ftypM4A ", "m4a"),
        (b"RIFF\x24\0\0\0AVI ", None),
        (b"\x7fELF", None),
        (b"<html>", None),
        (b"\xff\xd8\xff\xe0", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_a_format_is_told_by_its_first_bytes(head, found):
    assert sound_format(head) == found


def test_a_wrong_extension_does_not_help_a_text(music):
    (music / "notes.wav").write_text("dear diary")
    assert code_of("notes.wav", music) is Code.INVALID_FILE_FORMAT
