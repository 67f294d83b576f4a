using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Tandem.Users.Scim;

/// <summary>A filter of RFC 7644, 3.4.2.2, read but not yet looked at for what its attributes are.</summary>
abstract record ScimFilter
{
    /// <summary>Characters; more is no question of a directory's.</summary>
    public const int MaxLength = 4000;

    /// <summary>Brackets and "not" within each other.</summary>
    public const int MaxDepth = 20;

    /// <summary>Comparisons; each is a condition of the statement.</summary>
    public const int MaxComparisons = 100;

    /// <exception cref="ScimException">invalidFilter, with where and what.</exception>
    public static ScimFilter Parse(string text) => new Reader(text, "filter", ScimException.Filter).ReadWhole();

    public sealed record And(ScimFilter Left, ScimFilter Right) : ScimFilter;

    public sealed record Or(ScimFilter Left, ScimFilter Right) : ScimFilter;

    public sealed record Not(ScimFilter Inner) : ScimFilter;

    /// <param name="Operator">eq, ne, co, sw, ew, gt, ge, lt, le or pr.</param>
    /// <param name="Value">A string, a bool, a decimal, or null; null with pr.</param>
    public sealed record Compare(string Attribute, string Operator, object? Value) : ScimFilter;

    /// <summary>attribute[filter]: one of its values fits all of the filter.</summary>
    public sealed record Element(string Attribute, ScimFilter Inner) : ScimFilter;

    /// <summary>The path of a patch (RFC 7644, figure 7): attribute, attribute.sub, attribute[filter], attribute[filter].sub.</summary>
    public sealed record Path(string Attribute, ScimFilter? Which, string? Sub)
    {
        /// <exception cref="ScimException">invalidPath, with where and what.</exception>
        public static Path Parse(string text) => new Reader(text, "path", ScimException.Path).ReadPath();
    }

    /// <summary>Does a value with many parts fit?</summary>
    /// <param name="part">The part of a name: a string, a bool, or null; throws for a name that it has not.</param>
    public bool Fits(Func<string, object?> part) => this switch
    {
        And(var left, var right) => left.Fits(part) & right.Fits(part),
        Or(var left, var right) => left.Fits(part) | right.Fits(part),
        Not(var inner) => !inner.Fits(part),
        Compare compare => Fits(compare, part(compare.Attribute)),
        _ => throw ScimException.Path("A filter within a path has no brackets of its own."),
    };

    static bool Fits(Compare compare, object? found)
    {
        var isThere = found is not null and not "";
        if (compare.Value is null)
            return compare.Operator is "pr" or "ne" ? isThere : compare.Operator == "eq" ? !isThere : throw ScimException.Path($"null can be compared with eq and ne only, and not with {compare.Operator}.");
        if (found is bool flag)
        {
            var wanted = compare.Value is bool value ? value : bool.TryParse(compare.Value as string, out var read) ? read : throw ScimException.Path($"{compare.Attribute} is compared with true or false.");
            return compare.Operator switch
            {
                "eq" => flag == wanted,
                "ne" => flag != wanted,
                _ => throw ScimException.Path($"{compare.Attribute} can be compared with eq, ne and pr, and not with {compare.Operator}."),
            };
        }

        if (compare.Value is not string text)
            throw ScimException.Path($"{compare.Attribute} is compared with a string in double quotes.");
        if (found is not string other)
            return compare.Operator == "ne";
        var order = string.Compare(other, text, StringComparison.OrdinalIgnoreCase);
        return compare.Operator switch
        {
            "eq" => order == 0,
            "ne" => order != 0,
            "co" => other.Contains(text, StringComparison.OrdinalIgnoreCase),
            "sw" => other.StartsWith(text, StringComparison.OrdinalIgnoreCase),
            "ew" => other.EndsWith(text, StringComparison.OrdinalIgnoreCase),
            "gt" => order > 0,
            "ge" => order >= 0,
            "lt" => order < 0,
            _ => order <= 0,
        };
    }

    /// <summary>The grammar by recursive descent: or binds weakest, then and, then not.</summary>
    sealed class Reader(string text, string what, Func<string, ScimException> fault)
    {
        int _at;
        int _depth;
        int _comparisons;

        public ScimFilter ReadWhole()
        {
            CheckLength();
            var filter = ReadOr(false);
            SkipBlanks();
            return _at == text.Length ? filter : throw Wrong("the end, \"and\" or \"or\"");
        }

        public Path ReadPath()
        {
            CheckLength();
            var attribute = ReadAttribute();
            ScimFilter? which = null;
            if (Take('['))
            {
                which = ReadOr(true);
                Expect(']');
            }

            string? sub = null;
            if (which is not null && Take('.'))
                sub = ReadAttribute();
            if (_at != text.Length)
                throw Wrong("the end");
            return new Path(attribute, which, sub);
        }

        void CheckLength()
        {
            if (text.Length > MaxLength)
                throw fault($"The {what} has {text.Length} characters; it may have {MaxLength}.");
            if (text.Contains('\0'))
                throw fault($"The {what} has a character U+0000 in it.");
        }

        ScimFilter ReadOr(bool inElement)
        {
            if (++_depth > MaxDepth)
                throw fault($"The {what} goes deeper than {MaxDepth} brackets.");
            var left = ReadAnd(inElement);
            while (TakeWord("or"))
                left = new Or(left, ReadAnd(inElement));
            _depth--;
            return left;
        }

        ScimFilter ReadAnd(bool inElement)
        {
            var left = ReadOne(inElement);
            while (TakeWord("and"))
                left = new And(left, ReadOne(inElement));
            return left;
        }

        ScimFilter ReadOne(bool inElement)
        {
            SkipBlanks();
            var start = _at;
            if (TakeWord("not"))
            {
                SkipBlanks();
                if (_at < text.Length && text[_at] == '(')
                    return new Not(ReadGroup(inElement));
                _at = start; // An attribute that begins so, or is called so.
            }

            if (_at < text.Length && text[_at] == '(')
                return ReadGroup(inElement);
            var attribute = ReadAttribute();
            if (!inElement && Take('['))
            {
                var inner = ReadOr(true);
                SkipBlanks();
                Expect(']');
                // Entra ID asks emails[type eq "work"].value eq "…": of the same value both hold.
                return Take('.') ? new Element(attribute, new And(inner, ReadComparison(ReadAttribute()))) : new Element(attribute, inner);
            }

            return ReadComparison(attribute);
        }

        ScimFilter ReadGroup(bool inElement)
        {
            Expect('(');
            var inner = ReadOr(inElement);
            SkipBlanks();
            Expect(')');
            return inner;
        }

        Compare ReadComparison(string attribute)
        {
            if (++_comparisons > MaxComparisons)
                throw fault($"The {what} has more than {MaxComparisons} comparisons.");
            SkipBlanks();
            var start = _at;
            while (_at < text.Length && char.IsAsciiLetter(text[_at]))
                _at++;
            var operation = text[start.._at].ToLowerInvariant();
            if (operation == "pr")
                return new Compare(attribute, operation, null);
            if (operation is not ("eq" or "ne" or "co" or "sw" or "ew" or "gt" or "ge" or "lt" or "le"))
            {
                _at = start;
                throw Wrong("eq, ne, co, sw, ew, gt, ge, lt, le or pr");
            }

            if (_at == text.Length || text[_at] != ' ')
                throw Wrong("a blank");
            SkipBlanks();
            return new Compare(attribute, operation, ReadValue());
        }

        object? ReadValue()
        {
            if (_at == text.Length)
                throw Wrong("a value");
            var start = _at;
            if (text[_at] == '"')
            {
                for (_at++; _at < text.Length && text[_at] != '"'; _at++)
                    if (text[_at] == '\\')
                        _at++;
                if (_at >= text.Length)
                {
                    _at = text.Length;
                    throw Wrong("a closing quote");
                }

                _at++;
                return ReadString(text[start.._at], start);
            }

            while (_at < text.Length && text[_at] is not (' ' or ')' or ']'))
                _at++;
            var word = text[start.._at];
            // JSON has them in small letters; Entra ID writes True.
            if (word.Equals("true", StringComparison.OrdinalIgnoreCase))
                return true;
            if (word.Equals("false", StringComparison.OrdinalIgnoreCase))
                return false;
            if (word == "null")
                return null;
            if (decimal.TryParse(word, NumberStyles.Float, CultureInfo.InvariantCulture, out var number))
                return number;
            _at = start;
            throw Wrong("a string in double quotes, true, false, null or a number");
        }

        string ReadString(string json, int start)
        {
            try
            {
                using var document = JsonDocument.Parse(json);
                return document.RootElement.GetString() is { } value && !value.Contains('\0') ? value : throw fault($"The string at {start + 1} of the {what} has a character U+0000 in it.");
            }
            // The second is what half of a surrogate pair gives.
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                throw fault($"The string at {start + 1} of the {what} is no JSON string.");
            }
        }

        /// <summary>[URN ":"] name ["." sub-attribute].</summary>
        string ReadAttribute()
        {
            SkipBlanks();
            var start = _at;
            var isUrn = text.AsSpan(_at).StartsWith("urn:", StringComparison.OrdinalIgnoreCase);
            while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '-' or '_' or '$' or '.' || isUrn && text[_at] == ':'))
                _at++;
            if (_at == start || !char.IsAsciiLetter(text[start]) && text[start] != '$' || text[_at - 1] is '.' or ':')
            {
                _at = start;
                throw Wrong("the name of an attribute");
            }

            return text[start.._at];
        }

        bool Take(char c)
        {
            if (_at >= text.Length || text[_at] != c)
                return false;
            _at++;
            return true;
        }

        void Expect(char c)
        {
            if (!Take(c))
                throw Wrong($"\"{c}\"");
        }

        bool TakeWord(string word)
        {
            var before = _at;
            SkipBlanks();
            var end = _at + word.Length;
            if (end < text.Length && string.Compare(text, _at, word, 0, word.Length, StringComparison.OrdinalIgnoreCase) == 0 && text[end] is ' ' or '(')
            {
                _at = end;
                return true;
            }

            _at = before;
            return false;
        }

        void SkipBlanks()
        {
            while (_at < text.Length && text[_at] == ' ')
                _at++;
        }

        ScimException Wrong(string expected)
        {
            var found = _at >= text.Length ? "it ends there" : $"there is \"{Shown(text.AsSpan(_at))}\"";
            return fault($"The {what} wants {expected} at character {_at + 1}; {found}.");
        }

        static string Shown(ReadOnlySpan<char> rest)
        {
            var shown = new StringBuilder();
            foreach (var rune in rest[..Math.Min(20, rest.Length)].EnumerateRunes())
                shown.Append(rune);
            return shown.ToString();
        }
    }
}
