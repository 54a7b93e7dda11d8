local base64, utils, crypto = require(".base64"), require(".utils"), require(".crypto")

for _, case in ipairs { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "\251\255\0", "+/8A" } } do
  expect(base64.encode(case[1]), case[2])
  expect(base64.decode(case[2]), case[1])
end
expect(base64.url_encode("\251\255"), "-_8")
expect(base64.url_decode("-_8"), "\251\255")
fails(function() base64.decode("@@@@") end, "invalid character")

expect(crypto.digest.sha2_256("abc").asHex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
expect(#crypto.digest.sha2_512("").asString(), 64)
expect(crypto.digest.keccak256("").asHex(), "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")
expect(crypto.digest.sha3_256("").asHex(), "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a")
expect(crypto.digest.blake3("").asBytes()[1], 0xaf)
-- RFC 4231, test case 2
expect(crypto.mac.hmac("sha2_256", "Jefe", "what do ya want for nothing?").asHex(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
fails(function() crypto.mac.hmac("md5", "", "") end, "no digest")

expect(table.concat(utils.map(function(x) return x * 2 end, { 1, 2 }), ","), "2,4")
expect(table.concat(utils.filter(function(x) return x > 1 end)({ 1, 2, 3 }), ","), "2,3")
expect(utils.reduce(function(a, b) return a + b end, 0, { 1, 2, 3 }), 6)
expect(utils.includes("b", { "a", "b" }), true)
expect(utils.find(function(x) return x > 1 end, { 1, 2 }), 2)
expect(table.concat(utils.keys { b = 1, a = 2 }, ","), "a,b")
expect(table.concat(utils.concat({ 1 })({ 2 }), ","), "1,2")
expect(utils.compose(function(x) return x + 1 end, function(x) return x * 2 end)(5), 11)

expect(os.time(), NOW)
expect(os.clock(), NOW / 1000)
expect(os.date("!%Y-%m-%dT%H:%M:%SZ", 1709210096), "2024-02-29T12:34:56Z")
expect(os.date("%c", 0), "Thu Jan  1 00:00:00 1970")
expect(os.time { year = 2024, month = 2, day = 29, hour = 12, min = 34, sec = 56 }, 1709210096)
expect(os.time { year = 2023, month = 14, day = 1, hour = 0 }, os.time { year = 2024, month = 2, day = 1, hour = 0 })
expect(os.date("*t", 1709210096).yday, 60)
expect(os.date("%d.%m.%y %I %p %j %u %%", -86400), "31.12.69 12 AM 365 3 %")
fails(function() os.date("%Q") end, "invalid conversion")

-- what is not there, and what stays out of reach
expect(io, nil)
expect(dofile, nil)
expect(loadfile, nil)
expect(select(2, load("\27Lua")), '\27Lua: compiled chunks are not accepted')
expect(select(2, load("\27Lua", "=x")), "x: compiled chunks are not accepted")
fails(function() string.dump(function() end) end, "unable to dump")
fails(function() require("nothing") end, "module 'nothing' not found")
expect(os.getenv("PATH"), nil)

expect(bit32.bxor(0xff, 0x0f), 0xf0)
expect(debug.traceback("here"):match("^here\nstack traceback:") ~= nil, true)
package.preload.mine = function() return { 7 } end
expect(require("mine")[1], 7)
expect(require("json"), require(".json"))
expect(package.loaded.json, require("json"))
expect(tostring(12), "12")
expect(tostring(math.mininteger), "-9223372036854775808")
expect(("%d %5.2f %s"):format(-7, 3.14159, {} ~= nil), "-7  3.14 true")
expect(2 ^ 53 | 0, 9007199254740992)

local text = Dump { 1, { a = "x\n" }, b = true }
expect(text, '{\n   1,\n   {\n      a = "x\\n"\n   },\n   b = true\n}')
local circle = {}
circle.self = circle
expect(Dump(circle), "{\n   self = <circular reference>\n}")
