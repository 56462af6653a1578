//! Real packs, made by libgit2, in pieces of any length.

use proptest::prelude::*;

use super::entries::Scanner;
use super::glance::Glance;
use crate::domain::lfs::Pointer;

/// A pack of these files, with deltas among them.
fn pack(files: &[Vec<u8>]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let repository = git2::Repository::init_bare(folder.path()).unwrap();
    let mut builder = repository.packbuilder().unwrap();
    for (index, file) in files.iter().enumerate() {
        let oid = repository.blob(file).unwrap();
        builder.insert_object(oid, Some(if index % 2 == 0 { "a.bin" } else { "b.txt" })).unwrap();
    }
    let mut bytes = git2::Buf::new();
    builder.write_buf(&mut bytes).unwrap();
    bytes.to_vec()
}

fn scanned(bytes: &[u8], cut: usize) -> super::Findings {
    let mut scanner = Scanner::passing();
    for piece in bytes.chunks(cut.max(1)) {
        scanner.feed(piece);
    }
    scanner.finish()
}

fn pointers(count: usize) -> Vec<Pointer> {
    (0..count).map(|it| Pointer::of(format!("object {it}").as_bytes())).collect()
}

/// Whether a glance sees that there may be pointers.
fn glanced(bytes: &[u8], cut: usize) -> bool {
    let mut glance = Glance::new();
    bytes.chunks(cut.max(1)).for_each(|it| glance.feed(it));
    glance.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_glance_tells_whether_there_are_pointers_however_the_pack_is_cut(
        count in 0_usize..4,
        texts in proptest::collection::vec("[a-f ]{0,3000}", 0..40),
        cut in 1_usize..5_000,
    ) {
        let mut files: Vec<Vec<u8>> = texts.iter().map(|it| it.as_bytes().to_vec()).collect();
        files.extend(pointers(count).iter().map(Pointer::to_bytes));
        prop_assert_eq!(glanced(&pack(&files), cut), count > 0);
    }

    #[test]
    fn a_glance_survives_anything(bytes in proptest::collection::vec(prop_oneof![Just(0x78), Just(0xb8), Just(0x9c), any::<u8>()], 0..6_000), cut in 1_usize..3_000) {
        let _ = glanced(&bytes, cut);
    }

    #[test]
    fn every_pointer_of_a_pack_is_found_however_it_is_cut(
        count in 0_usize..60,
        texts in proptest::collection::vec("[a-f ]{0,3000}", 0..12),
        cut in 1_usize..5_000,
    ) {
        let want = pointers(count);
        let mut files: Vec<Vec<u8>> = want.iter().map(Pointer::to_bytes).collect();
        files.extend(texts.iter().map(|it| it.as_bytes().to_vec()));
        let found = scanned(&pack(&files), cut);
        prop_assert!(found.is_complete());
        prop_assert_eq!(found.pointers, want.into_iter().collect());
    }

    #[test]
    fn garbage_is_survived_and_never_complete(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 1_usize..70) {
        prop_assert!(!scanned(&bytes, cut).is_complete());
    }

    #[test]
    fn a_damaged_pack_is_survived(at in 0_usize..2_000, byte in any::<u8>(), cut in 1_usize..300) {
        let mut bytes = pack(&pointers(20).iter().map(Pointer::to_bytes).collect::<Vec<_>>());
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = scanned(&bytes, cut);
    }
}

/// A pack whose second file is a delta on the first, which it names by id.
fn pack_of_two(base: &[u8], file: &[u8], shared: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut bytes = [b"PACK".as_slice(), &2_u32.to_be_bytes(), &2_u32.to_be_bytes()].concat();
    let mut entry = |code: u8, id: &[u8], content: &[u8]| {
        assert!(content.len() < 2048);
        bytes.push(0x80 | (code << 4) | (content.len() & 0xf) as u8);
        bytes.push((content.len() >> 4) as u8);
        bytes.extend_from_slice(id);
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(content).unwrap();
        bytes.extend(deflate.finish().unwrap());
    };
    entry(3, &[], base);
    let sizes = [base.len(), file.len()].map(|it| [(it & 0x7f) as u8 | 0x80, (it >> 7) as u8]).concat();
    let head = [0x91, 0, u8::try_from(shared).unwrap(), (file.len() - shared) as u8];
    let steps = [&head, &file[shared..]].concat();
    let id = git2::Oid::hash_object(git2::ObjectType::Blob, base).unwrap();
    entry(7, id.as_bytes(), &[sizes, steps].concat());
    bytes.extend([0; 20]);
    bytes
}

#[test]
fn two_sizes_of_one_object_are_both_found_whichever_is_the_delta() {
    let right = Pointer::of(&[7; 2_000]);
    let wrong = Pointer { size: 2_007, ..right };
    for (base, delta) in [(right, wrong), (wrong, right)] {
        let found = scanned(&pack_of_two(&base.to_bytes(), &delta.to_bytes(), 124), 50);
        assert!(found.is_complete());
        assert_eq!(found.pointers, [right, wrong].into());
        let found = scanned(&pack(&[base.to_bytes(), delta.to_bytes()]), 50);
        assert_eq!(found.pointers, [right, wrong].into());
    }
}

#[test]
fn spoilt_pointers_are_named_by_gits_id() {
    let spoilt = b"version https://git-lfs.github.com/spec/v1\noid sha256:xyz\nsize 5\n".to_vec();
    let oid = git2::Oid::hash_object(git2::ObjectType::Blob, &spoilt).unwrap().to_string();
    let found = scanned(&pack(&[spoilt]), 7);
    assert_eq!(found.garbage.keys().map(ToString::to_string).collect::<Vec<_>>(), [oid]);
    assert!(found.is_complete() && found.pointers.is_empty());
}

#[test]
fn a_pointer_that_grew_out_of_a_text_about_pointers_is_found_or_left_in_doubt() {
    let pointer = Pointer::of(b"it").to_bytes();
    let manual = [b"# How to\n".repeat(20), pointer.clone(), b"more text\n".repeat(30)].concat();
    let found = scanned(&pack(&[manual, pointer]), 100);
    assert!(!found.is_complete() || found.pointers.len() == 1);
}

#[test]
fn a_pack_that_is_cut_off_is_incomplete() {
    let bytes = pack(&[b"x".to_vec()]);
    assert!(!scanned(&bytes[..bytes.len() - 1], 9).is_complete());
    assert!(scanned(&bytes, 9).is_complete());
}

#[test]
fn a_glance_sees_what_is_meant_as_a_pointer_and_texts_that_quote_one() {
    let spoilt = b"version https://git-lfs.github.com/spec/v1\noid sha256:xyz\nsize 5\n".to_vec();
    assert!(glanced(&pack(&[spoilt]), 7));
    let quote = [b"An example:\n".as_slice(), &Pointer::of(b"it").to_bytes()].concat();
    assert!(glanced(&pack(&[quote]), 4_096));
}

#[test]
fn a_pack_inside_a_file_leads_to_the_scan_of_everything_and_that_finds_nothing() {
    let inner = pack(&[Pointer::of(b"it").to_bytes()]);
    // Stored, as zlib leaves what it cannot shrink.
    let mut bytes = [b"PACK".as_slice(), &2_u32.to_be_bytes(), &1_u32.to_be_bytes()].concat();
    bytes.extend([0xb0 | (inner.len() & 0xf) as u8, (inner.len() >> 4) as u8]);
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut deflate, &inner).unwrap();
    bytes.extend(deflate.finish().unwrap());
    bytes.extend([0; 20]);
    assert!(glanced(&bytes, 64));
    let found = scanned(&bytes, 64);
    assert!(found.is_complete() && found.pointers.is_empty());
}
