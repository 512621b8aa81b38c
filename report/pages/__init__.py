"""Reports: one HTML file that works offline, from a hall of fame or a leaderboard.

page              the parts of a report, and the HTML file
typeset           formulas as MathML
charts            interactive charts, drawn in the browser by plotly.js; scatter: quality against score
evidence          what a hall's report needs beyond its file: scores, rivals, values per block
recommendation    the front of fitness against complexity, and the formula that a rule picks of it
hall_page         the report of a hall of fame
board_page        the report of a leaderboard
"""
