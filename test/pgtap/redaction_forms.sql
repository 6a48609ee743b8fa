-- Redaction in the scripts of the world: which neighbours and separators hide nothing, what is left alone, that
-- redacting twice changes nothing more, and that the time is linear.
\ir setup.inc
-- The texts are made by a function in SQL: compiling its plan at each of 100,000 calls would take an hour.
SET jit = off;
CREATE EXTENSION slm_feedback CASCADE;

BEGIN;
SELECT * FROM no_plan();
-- In value, \uXXXX stands for a character that would not be seen here. A null expected: the value stays.
CREATE TEMP TABLE form (n int GENERATED ALWAYS AS IDENTITY, script text, value text, expected text);
CREATE FUNCTION pg_temp.plain(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    escape text;
BEGIN
    FOR escape IN SELECT DISTINCT m[1] FROM regexp_matches(value, '\\u([0-9a-f]{4})', 'g') m LOOP
        value := replace(value, '\u' || escape, chr(('x' || escape)::bit(16)::int));
    END LOOP;
    RETURN value;
END
$$;
INSERT INTO form (script, value, expected)
SELECT v.script, pg_temp.plain(v.value), pg_temp.plain(v.expected)
FROM (VALUES
    -- Latin: neighbours
    ('Latin', '“4111 1111 1111 1111”', '“[CARD]”'),
    ('Latin', '„4111 1111 1111 1111“ und', '„[CARD]“ und'),
    ('Latin', '‘+49 30 1234567’', '‘[PHONE]’'),
    ('Latin', '«06 12 34 56 78»', '«[PHONE]»'),
    ('Latin', '‹192.168.0.1›', '‹[IP]›'),
    ('Latin', '“ann@example.org”', '“[EMAIL]”'),
    ('Latin', 'call 212-555-0100… now', 'call [PHONE]… now'),
    ('Latin', '…4111111111111111…', '…[CARD]…'),
    ('Latin', 'DE89370400440532013000…', '[IBAN]…'),
    ('Latin', '—192.168.0.1—', '—[IP]—'),
    ('Latin', 'key→sk-abcdefghijklmnopqrstuv', 'key→[KEY]'),
    ('Latin', '•ann@example.org', '•[EMAIL]'),
    ('Latin', '№+49 30 1234567', '№[PHONE]'),
    ('Latin', 'é4111111111111111é', 'é[CARD]é'),
    ('Latin', 'ß192.168.0.1ß', 'ß[IP]ß'),
    ('Latin', 'tél.\u00a0: 06 12 34 56 78', 'tél.\u00a0: [PHONE]'),
    ('Latin', 'a4111111111111111', NULL),
    ('Latin', '4111111111111111a', NULL),
    ('Latin', '_4111111111111111', NULL),
    ('Latin', '4111111111111111_', NULL),
    ('Latin', '94111111111111111', NULL),
    ('Latin', 'x192.168.0.1', NULL),
    ('Latin', '192.168.0.1x', NULL),
    ('Latin', 'José: jörg.müller@exämple.de.', 'José: [EMAIL].'),
    ('Latin', '😀4111111111111111😀', '😀[CARD]😀'),
    ('Latin', '¿ann@example.org?', '¿[EMAIL]?'),
    ('Latin', '¡+34 612 345 678!', '¡[PHONE]!'),
    -- Latin: separators inside numbers
    ('Latin', '4111\u00a01111\u00a01111\u00a01111', '[CARD]'),
    ('Latin', '4111\u202f1111\u202f1111\u202f1111', '[CARD]'),
    ('Latin', '4111\u20111111\u20111111\u20111111', '[CARD]'),
    ('Latin', E'4111\t1111\t1111\t1111', '[CARD]'),
    ('Latin', '4111\u20071111\u20071111\u20071111', '[CARD]'),
    ('Latin', '4111–1111–1111–1111', '[CARD]'),
    ('Latin', '+49\u00a030\u00a01234567', '[PHONE]'),
    ('Latin', '+33\u202f6\u202f12\u202f34\u202f56\u202f78', '[PHONE]'),
    ('Latin', '212\u2011555\u20110100', '[PHONE]'),
    ('Latin', E'+49\t30\t1234567', '[PHONE]'),
    ('Latin', '030\u00a0/\u00a01234567', '[PHONE]'),
    ('Latin', '06\u00a012\u00a034\u00a056\u00a078', '[PHONE]'),
    ('Latin', 'DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000', '[IBAN]'),
    ('Latin', 'DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00', '[IBAN]'),
    ('Latin', E'DE89\t3704\t0044\t0532\t0130\t00', '[IBAN]'),
    ('Latin', '(212)\u00a0555\u20110100', '[PHONE]'),
    ('Latin', E'Bearer\tabcdefghijklmnopqrst', '[KEY]'),
    ('Latin', 'Bearer\u00a0abcdefghijklmnopqrst', '[KEY]'),
    ('Latin', '4111.1111.1111.1111', '[CARD]'),
    ('Latin', 'card 4111.1111.1111.1111.', 'card [CARD].'),
    ('Latin', '4532.0151.1283.0366', '[CARD]'),
    ('Latin', '4111\u00b71111\u00b71111\u00b71111', '[CARD]'),
    ('Latin', '4111•1111•1111•1111', '[CARD]'),
    ('Latin', '3782.822463.10005', '[CARD]'),
    ('Latin', '4111\u2011 1111', NULL),
    ('Latin', '4111\u20111111 1111\u20111111', '[CARD]'),
    ('Latin', '3782\u2011822463\u201110005', '[CARD]'),
    ('Latin', '4111\u20101111\u20101111\u20101111', '[CARD]'),
    ('Latin', '0049-30-1234567', '[PHONE]'),
    ('Latin', '0049 30 1234567, 00 49 30 1234567', '[PHONE], [PHONE]'),
    ('Latin', '0049/30/1234567', '[PHONE]'),
    ('Latin', '(0049) 30 1234567', '[PHONE]'),
    ('Latin', '0049 (0)30 1234567', '[PHONE]'),
    ('Latin', '0033-6-12-34-56-78', '[PHONE]'),
    ('Latin', '0044\u201120\u20117946\u20110958', '[PHONE]'),
    ('Latin', '001-212-555-0100', '[PHONE]'),
    ('Latin', '00358.40.1234567', '[PHONE]'),
    ('Latin', '011 44 20 7946 0958', '[PHONE]'),
    ('Latin', 'ann\uff20example.org', '[EMAIL]'),
    ('Latin', 'ann\uff20example\uff0eorg, ann@example\uff0eorg', '[EMAIL], [EMAIL]'),
    ('Latin', 'ann\ufe6bexample\ufe52org', '[EMAIL]'),
    -- Latin: what is something else
    ('Latin', '4.111.111.111.111.111', NULL),
    ('Latin', '3.14159265358979, 4111111111111.111', NULL),
    ('Latin', '41.11.11.11.11.11.11.11', NULL),
    ('Latin', 'v4.11.1111.11111', NULL),
    ('Latin', '411.1111.1111.11111', NULL),
    ('Latin', '4111..1111..1111..1111', NULL),
    ('Latin', 'ISBN 978.3.16.148410.0, 978-0-306-40615-7', NULL),
    ('Latin', '00-11-22-33-44-55', NULL),
    ('Latin', '00 49, 00491, 0000-0000', NULL),
    ('Latin', '0049301234567 and 0012345678905', NULL),
    ('Latin', '00:49:30, 00.12.34, 2024-01-15', NULL),
    ('Latin', 'l\u00b7ann says col\u00b7lega', NULL),
    ('Latin', '(2024-01-15 12:30)', NULL),
    ('Latin', '(2019/2020/2021)', NULL),
    ('Latin', 'user@2x.png', NULL),
    ('Latin', 'icon@3x.webp and logo@10x.jpg', NULL),
    ('Latin', '(2024-01-15)', NULL),
    ('Latin', '(2019-2024), (1999/2000)', NULL),
    ('Latin', '[2024-01-15 12:30:00 +0200] 2024', NULL),
    ('Latin', 'Mon, 15 Jan 2024 12:30:00 +0100 2024', NULL),
    ('Latin', '2024-01-15T12:30:00+01:00', NULL),
    ('Latin', '2024\u00a001\u00a015 12:30', NULL),
    ('Latin', 'pages 1–20, 21–400, 1000–1200', NULL),
    ('Latin', 'react@18.2.0-beta.1 and vue@3.4.0', NULL),
    ('Latin', 'a[1::2], b[::2], c[::-1]', NULL),
    ('Latin', '1 000 000, 1.000.000,00 and 1\u202f000\u202f000', NULL),
    ('Latin', 'ISBN 978-3-16-148410-0', NULL),
    ('Latin', 'f(x) = (100 - 20) / (30 + 4)', NULL),
    ('Latin', 'v1.2.3, 10.0.300.1', NULL),
    ('Latin', 'décembre 2024/2025/2026', NULL),
    ('Latin', '(030) 1234567', '[PHONE]'),
    ('Latin', '(030 1234567)', '([PHONE])'),
    ('Latin', '(212) 555-0100', '[PHONE]'),
    ('Latin', '(ann@example.org)', '([EMAIL])'),
    ('Latin', '2001:db8::8a2e:370:7334 and fe80::1', '[IP] and [IP]'),
    ('Latin', 'ann@2x.org', '[EMAIL]'),
    -- Latin: one after another
    ('Latin', '030 123456 4111 1111 1111 1111', '[PHONE] [CARD]'),
    ('Latin', 'ann@example.org,bob@example.org;eve@example.org', '[EMAIL],[EMAIL];[EMAIL]'),
    ('Latin', '192.168.0.1,10.0.0.1/8', '[IP],[IP]/8'),
    ('Latin', '4111111111111111/5500000000000004', '[CARD]/[CARD]'),
    -- Cyrillic
    ('Cyrillic', 'Мой телефон:+7 495 123-45-67.', 'Мой телефон:[PHONE].'),
    ('Cyrillic', 'телефон+74951234567звоните', 'телефон[PHONE]звоните'),
    ('Cyrillic', '«ann@example.org»', '«[EMAIL]»'),
    ('Cyrillic', 'иван@пример.рф пишет', '[EMAIL] пишет'),
    ('Cyrillic', 'карта4111111111111111', 'карта[CARD]'),
    ('Cyrillic', '„4111 1111 1111 1111“', '„[CARD]“'),
    ('Cyrillic', 'адрес—192.168.0.1—сервера', 'адрес—[IP]—сервера'),
    ('Cyrillic', '+7\u00a0495\u00a0123\u201145\u201167', '[PHONE]'),
    ('Cyrillic', '№4111111111111111', '№[CARD]'),
    ('Cyrillic', 'ключ:sk-abcdefghijklmnopqrstuvж', 'ключ:[KEY]ж'),
    ('Cyrillic', 'в 2024–2025 годах (2024-01-15 12:30)', NULL),
    ('Cyrillic', 'ГОСТ 12345-2019, страница 100', NULL),
    ('Cyrillic', 'IBAN:UA213223130000026007233566001…', 'IBAN:[IBAN]…'),
    ('Cyrillic', 'тел. (495) 123-4567', 'тел. [PHONE]'),
    -- Greek
    ('Greek', 'τηλ.+30 21 0123 4567·', 'τηλ.[PHONE]·'),
    ('Greek', 'κάρτα4111111111111111.', 'κάρτα[CARD].'),
    ('Greek', '«ann@example.org»;', '«[EMAIL]»;'),
    ('Greek', 'νίκος@παράδειγμα.gr', '[EMAIL]'),
    ('Greek', 'διεύθυνση 10.0.0.1\u037e', 'διεύθυνση [IP]\u037e'),
    ('Greek', 'IBAN GR16\u00a00110\u00a01250\u00a00000\u00a00001\u00a02300\u00a0695', 'IBAN [IBAN]'),
    ('Greek', 'το έτος 2019/2020/2021', NULL),
    ('Greek', '“+30\u202f2101234567”', '“[PHONE]”'),
    -- Chinese
    ('Chinese', '我的电话是+86 138 0013 8000。', '我的电话是[PHONE]。'),
    ('Chinese', '卡号4111111111111111，谢谢', '卡号[CARD]，谢谢'),
    ('Chinese', '卡号：4111 1111 1111 1111。', '卡号：[CARD]。'),
    ('Chinese', '请写信给ann@example.org。谢谢', '请写信给[EMAIL]。谢谢'),
    ('Chinese', '邮箱ann.b+c@mail.example.org给我', '邮箱[EMAIL]给我'),
    ('Chinese', '用户@例子.公司，你好', '[EMAIL]，你好'),
    ('Chinese', 'a用户@x.org', 'a[EMAIL]'),
    ('Chinese', '卡号４１１１１１１１１１１１１１１１。', '卡号[CARD]。'),
    ('Chinese', '４１１１　１１１１　１１１１　１１１１', '[CARD]'),
    ('Chinese', '电话（０１０）１２３４５６７８', '电话[PHONE]'),
    ('Chinese', '服务器192.168.0.1挂了', '服务器[IP]挂了'),
    ('Chinese', '地址：１９２．１６８．０．１', '地址：[IP]'),
    ('Chinese', '密钥sk-abcdefghijklmnopqrstuv泄露', '密钥[KEY]泄露'),
    ('Chinese', '“ghp_abcdefghijklmnopqrstuvwxyz0123456789”', '“[KEY]”'),
    ('Chinese', '【4111-1111-1111-1111】', '【[CARD]】'),
    ('Chinese', '《2019/2020/2021》年', NULL),
    ('Chinese', '（2024-01-15 12:30）', NULL),
    ('Chinese', '（２０１９／２０２０／２０２１）', NULL),
    ('Chinese', '图标@2x.png', NULL),
    ('Chinese', '第４１１１页', NULL),
    ('Chinese', '微信@小明', NULL),
    ('Chinese', '邮箱ann@example。org谢谢', '邮箱[EMAIL]谢谢'),
    ('Chinese', '邮箱ann@example\uff61org', '邮箱[EMAIL]'),
    ('Chinese', '写信给ann@example.org。thanks', '写信给[EMAIL]。thanks'),
    ('Chinese', '卡号４１１１．１１１１．１１１１．１１１１', '卡号[CARD]'),
    ('Chinese', '电话0086-138-0013-8000。', '电话[PHONE]。'),
    ('Chinese', '电话００８６－１３８－００１３－８０００', '电话[PHONE]'),
    -- Japanese
    ('Japanese', '電話は０３－１２３４－５６７８です', '電話は０３－１２３４－５６７８です'),
    ('Japanese', '電話は+81 3-1234-5678です。', '電話は[PHONE]です。'),
    ('Japanese', '電話は090-1234-5678です', '電話は[PHONE]です'),
    ('Japanese', '携帯０９０－１２３４－５６７８まで', '携帯[PHONE]まで'),
    ('Japanese', 'カード4111111111111111です', 'カード[CARD]です'),
    ('Japanese', 'メールはann@example.orgへ', 'メールは[EMAIL]へ'),
    ('Japanese', 'メールａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇまで', 'メール[EMAIL]まで'),
    ('Japanese', '「192.168.0.1」', '「[IP]」'),
    ('Japanese', '『ann@example.org』', '『[EMAIL]』'),
    ('Japanese', 'ＴＥＬ０９０−１２３４−５６７８', 'ＴＥＬ[PHONE]'),
    ('Japanese', '2024年1月15日12時30分', NULL),
    ('Japanese', '１，０００，０００円', NULL),
    ('Japanese', 'トークンeyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJlです', 'トークン[KEY]です'),
    -- Korean
    ('Korean', '전화는010-1234-5678입니다', '전화는[PHONE]입니다'),
    ('Korean', '전화는 +82 10-1234-5678이다.', '전화는 [PHONE]이다.'),
    ('Korean', '카드4111111111111111를', '카드[CARD]를'),
    ('Korean', '이메일은ann@example.org입니다', '이메일은[EMAIL]입니다'),
    ('Korean', '홍길동@예시.한국', '[EMAIL]'),
    ('Korean', '서버192.168.0.1에서', '서버[IP]에서'),
    ('Korean', '‘AKIAIOSFODNN7EXAMPLE’은', '‘[KEY]’은'),
    ('Korean', '2024년 1월 15일', NULL),
    ('Korean', '(2024-01-15 12:30)에', NULL),
    -- Arabic
    ('Arabic', 'هاتفي+966 50 123 4567، شكرا', 'هاتفي[PHONE]، شكرا'),
    ('Arabic', 'هاتفي ٠٥٠ ١٢٣ ٤٥٦٧.', 'هاتفي [PHONE].'),
    ('Arabic', 'بطاقة٤١١١١١١١١١١١١١١١؟', 'بطاقة[CARD]؟'),
    ('Arabic', 'وann@example.org؛', 'و[EMAIL]؛'),
    ('Arabic', '\u202a+966 50 123 4567\u202c', '\u202a[PHONE]\u202c'),
    ('Arabic', '\u200f4111111111111111\u200e', '\u200f[CARD]\u200e'),
    ('Arabic', 'الخادم192.168.0.1،', 'الخادم[IP]،'),
    ('Arabic', 'شماره ۰۹۱۲ ۳۴۵ ۶۷۸۹', 'شماره [PHONE]'),
    ('Arabic', 'في عام ٢٠١٩/٢٠٢٠/٢٠٢١', NULL),
    ('Arabic', '(٢٠٢٤-٠١-١٥ ١٢:٣٠)', NULL),
    ('Arabic', 'مثال@موقع.شبكة', '[EMAIL]'),
    -- Hebrew
    ('Hebrew', 'הטלפון שלי050-123-4567.', 'הטלפון שלי[PHONE].'),
    ('Hebrew', 'טל׳+972-50-123-4567״', 'טל׳[PHONE]״'),
    ('Hebrew', 'כרטיס4111111111111111', 'כרטיס[CARD]'),
    ('Hebrew', 'לann@example.orgבבקשה', 'ל[EMAIL]בבקשה'),
    ('Hebrew', '״192.168.0.1״', '״[IP]״'),
    ('Hebrew', '\u2067+972 50 123 4567\u2069', '\u2067[PHONE]\u2069'),
    ('Hebrew', 'בשנת 2019/2020/2021', NULL),
    -- Devanagari
    ('Devanagari', 'मेरा फ़ोन+91 98765 43210।', 'मेरा फ़ोन[PHONE]।'),
    ('Devanagari', 'कार्ड4111111111111111।', 'कार्ड[CARD]।'),
    ('Devanagari', 'कार्ड ४१११ ११११ ११११ ११११।', 'कार्ड [CARD]।'),
    ('Devanagari', 'फ़ोन +९१ ९८७६५ ४३२१०', 'फ़ोन [PHONE]'),
    ('Devanagari', 'ईमेलann@example.orgपर', 'ईमेल[EMAIL]पर'),
    ('Devanagari', 'उदाहरण@परीक्षा.भारत', '[EMAIL]'),
    ('Devanagari', 'सर्वर192.168.0.1।', 'सर्वर[IP]।'),
    ('Devanagari', 'वर्ष २०१९/२०२०/२०२१', NULL),
    -- Thai
    ('Thai', 'โทร081-234-5678ครับ', 'โทร[PHONE]ครับ'),
    ('Thai', 'โทร ๐๘๑-๒๓๔-๕๖๗๘', 'โทร [PHONE]'),
    ('Thai', 'บัตร4111111111111111ค่ะ', 'บัตร[CARD]ค่ะ'),
    ('Thai', 'อีเมลann@example.orgนะ', 'อีเมล[EMAIL]นะ'),
    ('Thai', 'เซิร์ฟเวอร์192.168.0.1ล่ม', 'เซิร์ฟเวอร์[IP]ล่ม'),
    ('Thai', 'ปี ๒๕๖๒/๒๕๖๓/๒๕๖๔', NULL),
    -- Other scripts
    ('Bengali', 'ফোন +৮৮০ ১৭১২ ৩৪৫৬৭৮।', 'ফোন [PHONE]।'),
    ('Tamil', 'அட்டை4111111111111111', 'அட்டை[CARD]'),
    ('Armenian', 'հեռ.՝+374 10 123456։', 'հեռ.՝[PHONE]։'),
    ('Georgian', 'ბარათი4111111111111111', 'ბარათი[CARD]'),
    ('Amharic', 'ስልክ+251 91 123 4567።', 'ስልክ[PHONE]።')
) AS v (script, value, expected);
SELECT is(slm_feedback.redact(f.value), coalesce(f.expected, f.value), format('%s: %s', f.script, to_json(f.value))) FROM form f ORDER BY f.n;
SELECT is_empty('SELECT value FROM form WHERE slm_feedback.redact(slm_feedback.redact(value)) <> slm_feedback.redact(value)', 'none of them changes again');
SELECT cmp_ok((SELECT count(*) FROM form), '>=', 150::bigint, 'at least 150 forms');
SELECT cmp_ok((SELECT count(DISTINCT script) FROM form), '>=', 10::bigint, 'in at least ten scripts');

-- Twice is once, for 100,000 texts of pieces that make and break each other's neighbours; the seed is fixed.
CREATE TEMP TABLE piece AS
SELECT array_agg(pg_temp.plain(p) ORDER BY n) AS pieces
FROM unnest(ARRAY['4111111111111111', '4111 1111', '1111 1111', '5500-0000-0000-0004', '+49 30 1234567', '030 123456', '(212) 555-0100', '212-555-', '0100',
    '06 12 34', '56 78', 'DE89 3704 0044 0532 0130 00', 'GB82WEST', '12345698765432', '192.168.0.1', '10.0', '.0.1', ':8080', 'fe80::1', '::', 'ann@example.org', 'ann@',
    '@x.org', '@2x.png', 'b.cd', 'sk-abcdefghijklmnopqrstuv', 'sk-', 'Bearer ', 'eyJhbGci.', 'eyJzdWIi.c2ln', 'AKIAIOSFODNN7EXAMPLE', '2024-01-15', '(2019/', '0', '4', '12', '+',
    '(', ')', '-', '.', '/', ' ', ' ', '  ', ',', '_', ':', '@', '[', ']', '[EMAIL]', '[CARD', '4111.1111', '.1111.1111', '0049-30', '-1234567', '00', '\u00b7', 'ann\uff20x', '\uff0eorg', '。org', 'a', 'x', 'Ab', 'é', 'я', '中', '用户', '。', '…', '“', '４１', '１１１１', '٠٥٠', '（', '）', '－', '．',
    '＠', '\u00a0', '\u202f', '\u2011', E'\t', E'\n', E'\r\n', '\u200b', '😀']) WITH ORDINALITY AS u (p, n);
ANALYZE piece;
CREATE FUNCTION pg_temp.random_text(seed int) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(p.pieces[1 + (hashint8extended(j, seed) & 2147483647) % cardinality(p.pieces)], '' ORDER BY j)
    FROM piece p, generate_series(1, 3 + (hashint8extended(0, seed) & 15)) j
$$;
SELECT is_empty($$
    SELECT r.once, t.value FROM generate_series(1, 100000) i, LATERAL (SELECT pg_temp.random_text(i::int)) t (value),
         LATERAL (SELECT slm_feedback.redact(t.value)) r (once)
    WHERE slm_feedback.redact(r.once) <> r.once LIMIT 5$$, 'redacting 100,000 random texts twice is as once');
SELECT cmp_ok((SELECT count(*) FROM generate_series(1, 2000) i WHERE slm_feedback.redact(pg_temp.random_text(i::int)) <> pg_temp.random_text(i::int)),
              '>', 500::bigint, 'and many of them are redacted');

-- Linear, without a clock: the library counts the places it tries and the characters it runs over.
CREATE FUNCTION pg_temp.work(value text) RETURNS bigint LANGUAGE c STRICT AS '$libdir/slm_feedback', 'slm_redaction_work';
SELECT cmp_ok(pg_temp.work(repeat(s, 250000)), '<', 40 * 250000 * length(s)::bigint, 'linear in ' || s)
FROM unnest(ARRAY['a', 'a@', 'a.', 'a@a.', '1 ', '4-', 'eyJa.', 'eyJaaaa-', 'eyJaaaa.', '+1 ', '(', ':', 'f:', 'A1', 'bearer ', 'AA11 ', '中', '中@', 'é.', '用a', '4111111111111111-', '::1-',
                  'ann@example.org.', 'a@b.cd@', '030 123456 ', '0301 2345 ', 'sk-', '１']) s;
SELECT * FROM finish();
ROLLBACK;
