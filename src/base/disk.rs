//! Every change that a run makes to a disk, each an operation that a failpoint can strike (see [`super::faults`]).
//!
//! No other file of the store, of the stages, or of what they are made of calls the file system to write.

use std::{
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::faults::{Operation, Strike};

/// Makes a folder with those that it lies in.
pub fn create_folder(path: &Path) -> io::Result<()> {
    perform(Operation::Folder, path, || fs::create_dir_all(path))
}

/// Makes a folder that is not there yet.
pub fn create_new_folder(path: &Path) -> io::Result<()> {
    perform(Operation::Folder, path, || fs::create_dir(path))
}

/// Makes an empty file, or empties the one that is there. It can be read as well.
pub fn create(path: &Path) -> io::Result<File> {
    let options = || File::options().read(true).write(true).create(true).truncate(true).open(path);
    perform(Operation::Create, path, options)
}

/// Opens a file to add to its end, making it where it is not there.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    perform(Operation::Create, path, || File::options().append(true).create(true).open(path))
}

/// Opens a file to read and change, making it where it is not there.
pub fn open_to_change(path: &Path) -> io::Result<File> {
    perform(Operation::Create, path, || File::options().read(true).write(true).create(true).truncate(false).open(path))
}

/// Opens a file to read and change that is there.
pub fn reopen(path: &Path) -> io::Result<File> {
    perform(Operation::Create, path, || File::options().read(true).write(true).open(path))
}

/// Makes a file of these bytes, in place of what was there.
pub fn save(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    write(&mut create(path)?, path, bytes.as_ref())
}

/// Writes bytes at the place where an open file stands.
pub fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, |part| file.write_all(part))
}

/// Writes bytes to a place of an open file.
pub fn write_at(file: &File, path: &Path, bytes: &[u8], place: u64) -> io::Result<()> {
    // Half of the bytes are written twice where a failpoint lets it go on; they are the same.
    write_with(path, bytes, |part| file.write_all_at(part, place))
}

/// Gives an open file another length; what is added to it is noughts.
pub fn set_length(file: &File, path: &Path, bytes: u64) -> io::Result<()> {
    perform(Operation::Write, path, || file.set_len(bytes))
}

/// Makes the bytes of an open file durable.
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    perform(Operation::Sync, path, || file.sync_all())
}

/// Makes the bytes of a file, or the names in a folder, durable.
pub fn sync_path(path: &Path) -> io::Result<()> {
    perform(Operation::Sync, path, || File::open(path)?.sync_all())
}

/// Gives a file or a folder another name.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    perform(Operation::Rename, to, || fs::rename(from, to))
}

/// Copies a file.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let act = |strike: Strike| {
        strike.before()?;
        let bytes = fs::copy(from, to)?;
        if strike.halves() {
            // A copy of a file that nobody may write to is such a file as well.
            fs::set_permissions(to, fs::Permissions::from_mode(0o644))?;
            File::options().write(true).open(to)?.set_len(bytes / 2)?;
            strike.halfway()?;
        }
        strike.after()
    };
    Strike::of(Operation::Write, to).and_then(act).map_err(in_our_words)
}

/// Gives a file a second name, or copies it where the disk knows no second names.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    perform(Operation::Write, to, || fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)))
}

/// Removes a file; that it is gone already is no error.
pub fn remove_file(path: &Path) -> io::Result<()> {
    perform(Operation::Remove, path, || there(fs::remove_file(path)))
}

/// Removes a folder with all that is in it; that it is gone already is no error.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    perform(Operation::Remove, path, || there(fs::remove_dir_all(path)))
}

/// Removes a file, or a folder with all that is in it; that it is gone already is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() { remove_folder(path) } else { remove_file(path) }
}

/// Makes a file one that nobody writes to.
pub fn make_read_only(path: &Path) -> io::Result<()> {
    perform(Operation::Permit, path, || fs::set_permissions(path, fs::Permissions::from_mode(0o444)))
}

/// A file that is written from its beginning to its end. What a buffer before it holds is written when it is flushed.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Makes an empty file, or empties the one that is there.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self::of(create(path)?, path))
    }

    /// As [`Writer::create`], with a buffer of so many bytes.
    pub fn buffered(path: &Path, bytes: usize) -> io::Result<BufWriter<Self>> {
        Ok(BufWriter::with_capacity(bytes, Self::create(path)?))
    }

    /// Goes on where an open file stands.
    #[must_use]
    pub fn of(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// Makes durable what was written.
    pub fn sync(&self) -> io::Result<()> {
        sync(&self.file, &self.path)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(&mut self.file, &self.path, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many bytes a [`Writer::buffered`] holds where there is no reason for another number.
pub const BUFFER: usize = 1 << 16;

/// Does something to a path as an operation of its kind.
pub fn perform<T>(operation: Operation, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let act = |strike: Strike| {
        strike.before()?;
        let done = act()?;
        strike.after()?;
        Ok(done)
    };
    Strike::of(operation, path).and_then(act).map_err(in_our_words)
}

fn write_with(path: &Path, bytes: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let act = |strike: Strike| {
        strike.before()?;
        if strike.halves() {
            write(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            strike.halfway()?;
        }
        write(bytes)?;
        strike.after()
    };
    Strike::of(Operation::Write, path).and_then(act).map_err(in_our_words)
}

fn there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What the system says, in our words where a person meets it often. The kind of the error stays.
fn in_our_words(error: io::Error) -> io::Error {
    our_words(error.kind()).map(|text| io::Error::new(error.kind(), text)).unwrap_or(error)
}

fn our_words(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::QuotaExceeded => "the disk quota is used up",
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only",
        ErrorKind::FileTooLarge => "the file would be larger than the system allows (`ulimit -f`)",
        _ => return None,
    })
}

/// What the system says of an error, without the number it gives it.
#[must_use]
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        kind => our_words(kind).map_or_else(|| error.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::faults;

    #[test]
    fn what_is_written_in_pieces_is_struck_in_the_midst() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let armed = faults::arm(folder.path(), "write:half:2=ENOSPC").unwrap();
        let mut writer = Writer::buffered(&path, 4).unwrap();
        writer.write_all(b"12345").unwrap();
        let error = writer.write_all(b"67890").unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::StorageFull, "the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"1234567");
        drop((writer, armed));

        let (original, copied) = (folder.path().join("original"), folder.path().join("copy"));
        save(&original, "1234").unwrap();
        make_read_only(&original).unwrap();
        let _armed = faults::arm(folder.path(), "write:half:1=EIO").unwrap();
        assert!(copy(&original, &copied).is_err());
        assert_eq!(fs::read(&copied).unwrap(), b"12");
    }

    #[test]
    fn bytes_go_to_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let file = create(&path).unwrap();
        set_length(&file, &path, 4).unwrap();
        write_at(&file, &path, b"34", 2).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\0\x0034");
        assert!(reopen(&folder.path().join("nothing")).is_err());
    }
}
