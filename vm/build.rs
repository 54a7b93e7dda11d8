//! Compiles the Lua machine's guest: the Lua 5.3 sources of crate `lua-src`, our glue in `lua/c` and our runtime library in
//! `lua/runtime` become one WebAssembly module, `$OUT_DIR/lua.wasm`, which `src/lua` embeds.
//!
//! The bytes are content-addressed (`lua::runtime_id`), so nothing of this machine may enter them: units are compiled by relative
//! names, without debug information, in a fixed order, and the names section is stripped.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// C stack of the guest. 200 nested C calls (`LUAI_MAXCCALLS`) with a 1 KiB buffer each take less than half; it lies below the data, so
/// an overflow traps instead of overwriting state.
const STACK_BYTES: u32 = 1 << 20;

/// What a process may grow to: beyond it an allocation fails, which a program sees as the error "not enough memory".
const MEMORY_BYTES_MAX: u32 = 256 << 20;

/// Lua's own units, without what needs files, a clock, dynamic libraries, debug access or compiled chunks.
/// `ltable` is compiled through `lua/c/table.c`.
const LUA_UNITS: &[&str] = &[
    "lapi", "lauxlib", "lbaselib", "lbitlib", "lcode", "lcorolib", "lctype", "ldebug", "ldo", "lfunc", "lgc", "llex", "lmathlib", "lmem",
    "lobject", "lopcodes", "lparser", "lstate", "lstring", "lstrlib", "ltablib", "ltm", "lutf8lib", "lvm", "lzio",
];

/// Ours.
const GLUE_UNITS: &[&str] = &["big", "codec", "glue", "native", "nodump", "nofiles", "table"];

fn main() {
    if let Err(error) = build() {
        println!("cargo::error=the Lua machine was not built: {}", error.to_string().replace('\n', "; "));
        std::process::exit(1);
    }
}

fn build() -> Result<()> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    // Set by cargo-fuzz.
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rerun-if-changed=lua/c");
    println!("cargo::rerun-if-changed=lua/runtime");
    for name in ["AO_WASM_CLANG", "AO_WASM_LD"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let clang = tool("AO_WASM_CLANG", &["clang-14", "clang"], "clang")?;
    let linker = tool("AO_WASM_LD", &["wasm-ld-14", "wasm-ld"], "lld")?;
    let libc = wasi_libc()?;
    let builtins = builtins(&clang)?;
    let lua = lua_sources()?;

    // One folder with everything in it: what the compiler is told are names relative to it, the same on every machine.
    let work = out.join("lua-guest");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    copy_folder(&lua, &work.join("lua"))?;
    copy_folder(&manifest.join("lua/c"), &work.join("glue"))?;
    fs::write(work.join("glue/bundled.c"), bundle(&manifest.join("lua/runtime"))?)?;

    let mut units: Vec<String> = LUA_UNITS.iter().map(|unit| format!("lua/{unit}")).collect();
    units.extend(GLUE_UNITS.iter().map(|unit| format!("glue/{unit}")));
    units.push("glue/bundled".into());
    compile(&clang, &work, &units)?;
    link(&linker, &work, &units, &libc, &builtins, &out.join("lua.wasm"))
}

/// Bulk memory is off on purpose: the engine copies for free, as far as fuel is concerned, so a program that copies hundreds of megabytes
/// at a time would run for minutes within its limit. Copies in the guest's own code are counted like everything else.
///
/// Units are optimised together when they are linked, which is worth a tenth of a message: compiler and linker are of one LLVM release.
fn compile(clang: &str, work: &Path, units: &[String]) -> Result<()> {
    let jobs: usize = env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for batch in units.chunks(jobs.clamp(1, 8)) {
        let running = batch
            .iter()
            .map(|unit| {
                Command::new(clang)
                    .current_dir(work)
                    .args([
                        "--target=wasm32-wasi",
                        "-mmutable-globals",
                        "-msign-ext",
                        "-mnontrapping-fptoint",
                        "-O3",
                        "-flto",
                        "-std=gnu11",
                        "-g0",
                        "-c",
                        "-Wall",
                        "-Wno-unused-value",
                        "-Wno-string-plus-int",
                    ])
                    .args([
                        "-nostdlibinc",
                        "-isystem",
                        "/usr/include/wasm32-wasi",
                        "-fno-common",
                        "-ffunction-sections",
                        "-fdata-sections",
                        "-fno-ident",
                        "-ffp-contract=off",
                    ])
                    .args(["-DLUA_COMPAT_5_2", "-Ilua", "-Iglue", "-include", "glue/config.h"])
                    .arg(format!("{unit}.c"))
                    .arg("-o")
                    .arg(format!("{unit}.o"))
                    .spawn()
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        for (unit, mut child) in batch.iter().zip(running) {
            if !child.wait()?.success() {
                return Err(format!("clang refused {unit}.c").into());
            }
        }
    }
    Ok(())
}

fn link(linker: &str, work: &Path, units: &[String], libc: &Path, builtins: &Path, target: &Path) -> Result<()> {
    let output = Command::new(linker)
        .current_dir(work)
        .args([
            "--no-entry",
            "--no-check-features",
            "--gc-sections",
            "--strip-all",
            "--lto-O3",
            "--stack-first",
            "--export=__stack_pointer",
            "--export=__wasm_call_ctors",
        ])
        .args(["-z", &format!("stack-size={STACK_BYTES}"), &format!("--max-memory={MEMORY_BYTES_MAX}")])
        .args(units.iter().map(|unit| format!("{unit}.o")))
        .arg(libc)
        .arg(builtins)
        .arg("-o")
        .arg(target)
        .output()?;
    if !output.status.success() {
        return Err(format!("wasm-ld failed:\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// The runtime library's files as C arrays, sorted by name (`lib/json.lua` is named `lib/json`).
fn bundle(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    for (prefix, folder) in [("", folder.to_path_buf()), ("lib/", folder.join("lib"))] {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "lua") {
                let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a runtime file has no name")?;
                files.push((format!("{prefix}{stem}"), fs::read(&path)?));
            }
        }
    }
    files.sort();
    let mut text = String::from("#include \"native.h\"\n");
    for (index, (_, source)) in files.iter().enumerate() {
        write!(text, "static const char file_{index}[] = {{")?;
        for byte in source {
            write!(text, "{byte},")?;
        }
        text.push_str("0};\n");
    }
    text.push_str("const struct ao_bundled ao_bundled_files[] = {\n");
    for (index, (name, source)) in files.iter().enumerate() {
        writeln!(text, "  {{\"{name}\", file_{index}, {}}},", source.len())?;
    }
    text.push_str("  {0, 0, 0}};\n");
    Ok(text)
}

/// Where cargo unpacked the Lua sources: the crate exports no path, so cargo itself is asked.
fn lua_sources() -> Result<PathBuf> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &env::var("TARGET")?])
        .current_dir(env::var("CARGO_MANIFEST_DIR")?)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter_map(|manifest| Path::new(manifest).parent().map(|folder| folder.join("lua-5.3.6")))
        .find(|folder| folder.join("lua.h").is_file())
        .ok_or_else(|| {
            format!("the sources of Lua 5.3.6 (crate lua-src) were not found: {}", String::from_utf8_lossy(&output.stderr)).into()
        })
}

fn tool(variable: &str, names: &[&str], package: &str) -> Result<String> {
    let wanted = env::var(variable).ok();
    let candidates = wanted.as_deref().map_or_else(|| names.to_vec(), |name| vec![name]);
    candidates
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
        .map(|name| (*name).to_owned())
        .ok_or_else(|| {
            format!("`{}` was not found; on Debian: apt-get install {package} (or set {variable})", candidates.join("` or `")).into()
        })
}

fn wasi_libc() -> Result<PathBuf> {
    let library = Path::new("/usr/lib/wasm32-wasi/libc.a");
    if library.is_file() {
        return Ok(library.into());
    }
    Err("the C library for WebAssembly was not found; on Debian: apt-get install wasi-libc".into())
}

fn builtins(clang: &str) -> Result<PathBuf> {
    let output = Command::new(clang).arg("--print-resource-dir").output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let library = folder.join("lib/wasi/libclang_rt.builtins-wasm32.a");
    if library.is_file() {
        return Ok(library);
    }
    Err(format!("{} was not found; on Debian: apt-get install libclang-rt-14-dev-wasm32", library.display()).into())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
