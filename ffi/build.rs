//! Names the shared library for the dynamic linker. The number is the major half of the ABI version
//! and changes only when a program built against an older header would break.

fn main() {
    let soname = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "-Wl,-install_name,@rpath/libcairnlog.0.dylib",
        Ok("windows") => "",
        _ => "-Wl,-soname,libcairnlog.so.0",
    };
    if !soname.is_empty() {
        println!("cargo:rustc-cdylib-link-arg={soname}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
